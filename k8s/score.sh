#!/usr/bin/env bash
# Score a payment through the API at a URL, with the key of k8s/overlays/mine.
set -euo pipefail
now=$(date +%s)
curl --fail-with-body --silent --show-error --retry 10 --retry-all-errors --retry-delay 3 \
    "$1/v1/score" -H "Authorization: Bearer $(cat "$(dirname "$0")/overlays/mine/key")" \
    -H "Content-Type: application/json" -d '{
        "transaction_id": "t-'"$now"'", "event_time": '"$now"'000, "type": "TRANSFER",
        "amount": 181000.5, "origin": "C1231006815", "destination": "C1900366749",
        "origin_balance": 181000.5, "destination_balance": 0}'
