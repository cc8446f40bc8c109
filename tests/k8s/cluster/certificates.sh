#!/usr/bin/env bash
# Write the certificates and kubeconfigs of the cluster to a folder: certificates.sh FOLDER ADDRESS NODE...
set -euo pipefail
mkdir -p "$1"
cd "$1"
address=$2
nodes=("${@:3}")
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

authority() { # NAME: a certificate authority
    openssl req -x509 "${key[@]}" -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" -days 30
}
certificate() { # NAME AUTHORITY SUBJECT [ALTERNATIVE-NAMES]
    openssl req "${key[@]}" -keyout "$1.key" -out "$1.csr" -subj "$3"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -out "$1.crt" -days 30 -extfile <(
        printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth,serverAuth\n'
        printf '%s\n' "${4:+subjectAltName=$4}")
}
kubeconfig() { # NAME: for the holder of that certificate
    cat >"$1.conf" <<END
apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: "https://$address:6443", certificate-authority: $PWD/ca.crt}}]
users: [{name: user, user: {client-certificate: $PWD/$1.crt, client-key: $PWD/$1.key}}]
contexts: [{name: context, context: {cluster: cluster, user: user}}]
current-context: context
END
}

exec 2>certificates.log
authority ca
authority front-proxy-ca
openssl genrsa -out service-accounts.key 2048
openssl rsa -in service-accounts.key -pubout -out service-accounts.pub
certificate apiserver ca /CN=kube-apiserver \
    "DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:$address"
certificate kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
certificate admin ca /O=system:masters/CN=admin
certificate controller-manager ca /CN=system:kube-controller-manager
certificate scheduler ca /CN=system:kube-scheduler
certificate proxy ca /CN=system:kube-proxy
for node in "${nodes[@]}"; do certificate "$node" ca "/O=system:nodes/CN=system:node:$node" "DNS:$node"; done
for name in admin controller-manager scheduler proxy "${nodes[@]}"; do kubeconfig "$name"; done
