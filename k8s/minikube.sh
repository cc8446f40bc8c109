#!/usr/bin/env bash
# Deploy the image fraud-detector to a Minikube and score a payment; see k8s/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

minikube status >/dev/null 2>&1 || minikube start --cni=calico     # Calico enforces network policies
minikube addons enable ingress
docker tag fraud-detector fraud-detector:local
minikube image load --overwrite=true fraud-detector:local
[ -e k8s/overlays/mine ] || k8s/secrets.sh
kubectl apply -k k8s/overlays/mine
kubectl -n fraud rollout restart deployment/fraud-api              # the image's tag does not change
kubectl -n fraud rollout status --timeout=5m statefulset/fraud-redis deployment/fraud-api
kubectl -n ingress-nginx rollout status --timeout=5m deployment/ingress-nginx-controller
k8s/score.sh "http://$(minikube ip)"
