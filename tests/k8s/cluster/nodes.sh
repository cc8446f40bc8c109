#!/usr/bin/env bash
# Start or stop a Kubernetes of two nodes in network namespaces of this machine: nodes.sh up|down BIN STATE
#
# Each node is a network namespace with its own containerd, kubelet and kube-proxy. A third namespace
# is their switch, so that no firewall of the machine is in the way. The control plane runs on the
# machine itself. It needs root and cgroup v1; it does without CAP_SYS_RESOURCE, systemd and a registry.
set -euo pipefail
bin=$2 state=$3
sockets=/run/fraud-cluster          # paths of sockets are limited to 107 characters
nodes=(n1 n2)
address=10.99.0.1
declare -A byte=([n1]=11 [n2]=12)   # the last of a node's address, and the third of those of its pods
here=$(dirname "$0")

spawn() { # NAME COMMAND...: in the background
    setsid "${@:2}" >"$state/log/$1.log" 2>&1 </dev/null &
    echo $! >"$state/pid/$1"
}
stop() { # NAME...: nothing of theirs is kept
    local name pid
    for name in "$@"; do
        [ -e "$state/pid/$name" ] || continue
        pid=$(cat "$state/pid/$name")
        kill -KILL "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done
}
wait_for() { # COMMAND...
    for _ in {1..600}; do ! "$@" >/dev/null 2>&1 || return 0; sleep 0.1; done
    echo "error: no success within a minute: $*" >&2
    return 1
}
inside() { # NODE COMMAND...; `ip netns exec` would hide /sys/fs/cgroup
    nsenter --net="/run/netns/fraud-$1" "${@:2}"
}
containers() { # NODE ARGUMENTS...
    ctr --address "$sockets/$1/containerd.sock" --namespace k8s.io "${@:2}"
}

network() {
    ip netns add fraud-lan
    ip -n fraud-lan link add bridge type bridge
    ip -n fraud-lan link set bridge up
    ip link add fraud-host type veth peer name host netns fraud-lan
    ip -n fraud-lan link set host master bridge up
    ip addr add $address/24 dev fraud-host
    ip link set fraud-host up
    for node in "${nodes[@]}"; do
        ip netns add "fraud-$node"
        ip link add eth0 netns "fraud-$node" type veth peer name "$node" netns fraud-lan
        ip -n fraud-lan link set "$node" master bridge up
        ip -n "fraud-$node" addr add "10.99.0.${byte[$node]}/24" dev eth0
        ip -n "fraud-$node" link set eth0 up
        ip -n "fraud-$node" link set lo up
        ip -n "fraud-$node" route add default via $address
        inside "$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
        ip route add "10.244.${byte[$node]}.0/24" via "10.99.0.${byte[$node]}"
    done
    ip route add 10.96.0.0/16 via 10.99.0.${byte[n1]}      # so that the machine reaches Services
    ip -n fraud-n1 route add 10.244.${byte[n2]}.0/24 via 10.99.0.${byte[n2]}
    ip -n fraud-n2 route add 10.244.${byte[n1]}.0/24 via 10.99.0.${byte[n1]}
}

control_plane() {
    local keys=$state/keys etcd=http://127.0.0.1:12379
    spawn etcd "$bin/etcd" --data-dir "$state/etcd" --listen-client-urls $etcd --advertise-client-urls $etcd \
        --listen-peer-urls http://127.0.0.1:12380 --unsafe-no-fsync --log-level warn
    spawn apiserver "$bin/kube-apiserver" --advertise-address=$address --bind-address=$address --secure-port=6443 \
        --etcd-servers=$etcd --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=Node,RBAC \
        --enable-admission-plugins=NodeRestriction --enable-aggregator-routing=true --allow-privileged=true \
        --client-ca-file="$keys/ca.crt" \
        --tls-cert-file="$keys/apiserver.crt" --tls-private-key-file="$keys/apiserver.key" \
        --kubelet-client-certificate="$keys/kubelet-client.crt" --kubelet-client-key="$keys/kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP \
        --service-account-key-file="$keys/service-accounts.pub" \
        --service-account-signing-key-file="$keys/service-accounts.key" \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --requestheader-client-ca-file="$keys/front-proxy-ca.crt" \
        --requestheader-allowed-names=front-proxy-client --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
        --proxy-client-cert-file="$keys/front-proxy-client.crt" \
        --proxy-client-key-file="$keys/front-proxy-client.key"
    wait_for "$bin/kubectl" --kubeconfig "$keys/admin.conf" get --raw /readyz
    local name
    for name in controller-manager scheduler; do
        local config=$keys/$name.conf
        local arguments=(--kubeconfig="$config" --authentication-kubeconfig="$config"
            --authorization-kubeconfig="$config" --leader-elect=false --bind-address=127.0.0.1)
        [ $name = scheduler ] || arguments+=(--service-account-private-key-file="$keys/service-accounts.key"
            --root-ca-file="$keys/ca.crt" --use-service-account-credentials=true
            --cluster-signing-cert-file="$keys/ca.crt" --cluster-signing-key-file="$keys/ca.key"
            --requestheader-client-ca-file="$keys/front-proxy-ca.crt" --service-cluster-ip-range=10.96.0.0/16)
        spawn $name "$bin/kube-$name" "${arguments[@]}"
    done
}

node() { # NAME
    local folder=$state/$1 run=$sockets/$1 keys=$state/keys controller
    mkdir -p "$folder/cni" "$run"
    for controller in blkio cpu cpuacct cpuset devices freezer memory pids systemd; do
        mkdir -p "/sys/fs/cgroup/$controller/fraud-$1"
    done
    for controller in cpus mems; do
        cat /sys/fs/cgroup/cpuset/cpuset.$controller >"/sys/fs/cgroup/cpuset/fraud-$1/cpuset.$controller"
    done
    cat >"$folder/cni/10-ptp.conflist" <<END
{"cniVersion": "0.4.0", "name": "ptp", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "$run/cni",
   "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "10.244.${byte[$1]}.0/24"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
    cat >"$folder/containerd.toml" <<END
version = 2
root = "$folder/containerd"
state = "$run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/fraud-cluster/pause:latest"
  restrict_oom_score_adj = true         # without CAP_SYS_RESOURCE
  enable_unprivileged_ports = true      # as Docker has it
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
END
    cat >"$folder/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $keys/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /fraud-$1
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$run/containerd.sock
podLogsDir: $folder/pods
resolvConf: $state/resolv.conf
failSwapOn: false
evictionHard: {memory.available: 200Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
tlsCertFile: $keys/$1.crt
tlsPrivateKeyFile: $keys/$1.key
END
    cat >"$folder/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $keys/proxy.conf}
clusterCIDR: 10.244.0.0/16
hostnameOverride: $1
mode: iptables
conntrack: {maxPerCore: 0}
END
    spawn "$1-containerd" nsenter --net="/run/netns/fraud-$1" containerd --config "$folder/containerd.toml"
    wait_for containers "$1" version
    spawn "$1-kubelet" nsenter --net="/run/netns/fraud-$1" "$bin/kubelet" --config="$folder/kubelet.yaml" \
        --kubeconfig="$keys/$1.conf" --hostname-override="$1" --node-ip="10.99.0.${byte[$1]}" \
        --root-dir="$folder/kubelet" --cert-dir="$folder/pki" --node-labels="topology.kubernetes.io/zone=zone-$1"
    spawn "$1-proxy" nsenter --net="/run/netns/fraud-$1" "$bin/kube-proxy" --config="$folder/proxy.yaml"
}

up() {
    mkdir -p "$state"/{log,pid}
    "$here/certificates.sh" "$state/keys" $address "${nodes[@]}"
    echo "nameserver 127.0.0.1" >"$state/resolv.conf"
    network
    control_plane
    for name in "${nodes[@]}"; do node "$name"; done
    for name in "${nodes[@]}"; do
        wait_for "$bin/kubectl" --kubeconfig "$state/keys/admin.conf" get node "$name"
    done
}

down() {
    local node container
    stop controller-manager scheduler {n1,n2}-{kubelet,proxy}
    for node in "${nodes[@]}"; do
        for container in $(containers "$node" containers ls -q 2>/dev/null); do
            containers "$node" tasks rm -f "$container" >/dev/null 2>&1 || true
            containers "$node" containers rm "$container" >/dev/null 2>&1 || true
        done
    done
    stop {n1,n2}-containerd apiserver etcd
    awk -v state="$state/" -v sockets="$sockets/" \
        'index($2, state) == 1 || index($2, sockets) == 1 {print $2}' /proc/mounts \
        | sort -r | xargs -r -n1 umount -l
    ip netns list | awk '/^cni-/ {print $1}' | xargs -r -n1 ip netns del
    for node in lan "${nodes[@]}"; do ip netns del "fraud-$node" 2>/dev/null || true; done
    ip link del fraud-host 2>/dev/null || true
    for node in "${nodes[@]}"; do
        find /sys/fs/cgroup/*/"fraud-$node" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    rm -rf $sockets "$state"
}

"$1"
