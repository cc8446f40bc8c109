#!/usr/bin/env bash
# Create an overlay with new secrets in k8s/overlays/mine, which git ignores. Only the
# hash of the API's key is deployed; the key itself stays in the file `key`.
set -euo pipefail
mine=$(dirname "$0")/overlays/mine
if [ -e "$mine" ]; then
    echo "error: $mine exists already and its keys may be in use; move it first" >&2
    exit 1
fi
umask 077
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
openssl rand -hex 32 > "$made/key"
cat > "$made/secrets.env" <<END
FRAUD_API_KEYS=$(tr -d '\n' < "$made/key" | sha256sum | cut -d ' ' -f 1)
FRAUD_ACCOUNT_KEY=$(openssl rand -hex 32)
END
echo "REDIS_PASSWORD=$(openssl rand -hex 32)" > "$made/redis.env"
cat > "$made/kustomization.yaml" <<'END'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: fraud
resources: [../minikube]
secretGenerator:
  - name: fraud-secrets
    behavior: replace
    envs: [secrets.env]
  - name: fraud-redis
    behavior: replace
    envs: [redis.env]
END
cp -r "$made" "$mine"
