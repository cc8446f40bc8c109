#!/bin/sh
# Installs the programs that tests need, where it may: as root, or with sudo without a password.
# `programs.sh cluster` includes those of tests on a cluster.
# Elsewhere it names them; tests that need one are skipped then.
set -eu

missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need "${JAVA_HOME:+$JAVA_HOME/bin/}java" default-jre-headless
need redis-server redis-server
need prometheus prometheus
need amtool prometheus-alertmanager
need openssl openssl
need kubectl kubernetes-client
need chromium chromium
need chromedriver chromium-driver
need npm npm
need docker-registry docker-registry
if command -v docker >/dev/null 2>&1 && ! docker compose version >/dev/null 2>&1; then
    need docker-compose docker-compose
fi
[ -n "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || missing="$missing postgresql"
if [ "${1:-}" = cluster ]; then
    need containerd containerd
    need runc runc
    need conntrack conntrack
    need iptables iptables
    need docker docker.io
    need /usr/lib/cni/ptp containernetworking-plugins
fi
[ -n "$missing" ] || exit 0

install="apt-get install -qy --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing programs, some tests will be skipped:$missing (names of Debian's packages)"
elif [ "$(id -u)" = 0 ]; then
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive $install >/dev/null
elif sudo -n true 2>/dev/null; then
    sudo apt-get update -q >/dev/null
    sudo DEBIAN_FRONTEND=noninteractive $install >/dev/null
    # Tests start a registry of images of their own; its service would keep MLflow's port.
    sudo systemctl disable --quiet --now docker-registry 2>/dev/null || true
else
    echo "Missing programs, some tests will be skipped; to run them: sudo $install"
fi
