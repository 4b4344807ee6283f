#!/usr/bin/env bash
# Measures a cluster: start-up, memory, throughput, binary sizes. Everything runs in a network namespace of its own.
# Usage: hack/bench.sh [--binaries DIR] [--baseline DIR] [--pods N] [--config-maps N] [--watchers N] [--control-plane-only]
#   --baseline DIR   measures the binaries in DIR (upstream's, say) with the same flags as well, and prints ratios
set -euo pipefail
KUBE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "error: run it as root, for the network namespace" >&2 && exit 1; }
"$KUBE_ROOT/hack/install-deps.sh" all
target=${CARGO_TARGET_DIR:-$KUBE_ROOT/target}
case " $* " in
  *" --binaries "*) what=(--package hack) ;; # they are there already
  *) what=(--workspace --bins) ;;
esac
(cd "$KUBE_ROOT" && cargo build --release --locked "${what[@]}")
namespace=kube-bench-$$
ip netns add "$namespace"
cleanup() {
  local pid
  for pid in $(ip netns pids "$namespace" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
  ip netns delete "$namespace"
}
trap cleanup EXIT
nsenter --net="/var/run/netns/$namespace" ip link set lo up
# As in hack/e2e.sh: a node address, and a default route that leads nowhere.
nsenter --net="/var/run/netns/$namespace" bash -ec '
  ip link add node0 type veth peer name node0-peer
  ip addr add 192.168.127.2/24 dev node0
  ip link set node0 up
  ip link set node0-peer up
  ip route add default via 192.168.127.1 dev node0'
binaries=("--binaries" "$target/release")
case " $* " in *" --binaries "*) binaries=() ;; esac
nsenter --net="/var/run/netns/$namespace" "$target/release/hack" bench --root "$KUBE_ROOT" "${binaries[@]}" "$@"
