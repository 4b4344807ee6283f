#!/usr/bin/env bash
# Differential replay: sends the recorded requests of ../shared/golden to a fresh API server of ours and prints, per
# area, how many answers are identical to upstream's.
# Usage: hack/replay.sh [-b DIR-OF-BINARIES] [-g GOLDEN-DIR] [-f DIFF-FILE] [-k] [AREA…] [-- options of replay.py]
#   -k   keep the server running afterwards and print how to reach it
set -euo pipefail
KUBE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$KUBE_ROOT/hack/lib/certs.sh"

binaries=${CARGO_TARGET_DIR:-$KUBE_ROOT/target}/debug
golden=${KUBE_GOLDEN:-$KUBE_ROOT/../shared/golden}
diff_file= keep=
while getopts "b:g:f:k" option; do
  case $option in
    b) binaries=$OPTARG ;;
    g) golden=$OPTARG ;;
    f) diff_file=$OPTARG ;;
    k) keep=1 ;;
    *) sed -n '2,6p' "$0" >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))
areas=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  areas+=("$1")
  shift
done
[ $# -eq 0 ] || shift

[ -f "$golden/replay.py" ] || { echo "skipped: no recorded behaviour at $golden" && exit 0; }
[ ${#areas[@]} -gt 0 ] || areas=(bootstrap discovery resources defaulting validation subresources negotiation auth crd admission)

work=$(mktemp -d -t replay.XXXXXX)
pids=()
stop() { # newest first; by process id, never by name
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -9 "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  pids=()
}
# As the recorded server did, this one has an address that is not loopback: in a network namespace, where one can be made.
host=127.0.0.1 namespace=kube-replay-$$ inside=()
if [ "$(id -u)" = 0 ] && ip netns add "$namespace" 2>/dev/null; then
  host=192.168.127.2 inside=(nsenter --net="/var/run/netns/$namespace")
else
  namespace=
fi
end() {
  stop
  [ -z "$namespace" ] || ip netns delete "$namespace"
  rm -rf "$work"
}
trap end EXIT
if [ -n "$namespace" ]; then
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link add node0 type veth peer name node0-peer
  ip -n "$namespace" addr add "$host/24" dev node0
  ip -n "$namespace" link set node0 up
  ip -n "$namespace" link set node0-peer up
fi
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

create_cluster_certs "$work" 127.0.0.1 10.0.0.1 "$host" localhost
create_service_account_key "$work/sa.key"

start_server() { # a fresh etcd and a fresh API server; sets $port
  local etcd_port peer_port run=$work/run.$RANDOM
  mkdir -p "$run"
  etcd_port=$(free_port) peer_port=$(free_port) port=$(free_port)
  "${inside[@]}" etcd --data-dir "$run/etcd" --log-level=error --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port" \
    >"$run/etcd.log" 2>&1 &
  pids+=($!)
  "${inside[@]}" "$binaries/kube-apiserver" --authorization-mode=Node,RBAC --service-cluster-ip-range=10.0.0.0/24 \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$work/sa.key" \
    --service-account-signing-key-file="$work/sa.key" --service-account-jwks-uri=https://kubernetes.default.svc/openid/v1/jwks \
    --allow-privileged=true --storage-media-type=application/vnd.kubernetes.protobuf \
    --enable-admission-plugins=NodeRestriction --client-ca-file="$work/client-ca.crt" \
    --requestheader-client-ca-file="$work/request-header-ca.crt" --requestheader-allowed-names=system:auth-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --etcd-servers="http://127.0.0.1:$etcd_port" \
    --tls-cert-file="$work/serving-kube-apiserver.crt" --tls-private-key-file="$work/serving-kube-apiserver.key" \
    --kubelet-client-certificate="$work/client-kube-apiserver.crt" --kubelet-client-key="$work/client-kube-apiserver.key" \
    --bind-address="$host" --external-hostname="$host" --secure-port="$port" --v=2 >"${REPLAY_LOG:-$run/kube-apiserver.log}" 2>&1 &
  pids+=($!)
  local i
  for ((i = 0; i < 600; i++)); do
    "${inside[@]}" curl -fsS --cacert "$work/server-ca.crt" --cert "$work/client-admin.crt" --key "$work/client-admin.key" \
      "https://$host:$port/readyz" >/dev/null 2>&1 && return
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 30 "${REPLAY_LOG:-$run/kube-apiserver.log}" >&2
  echo "error: the API server did not become ready" >&2
  exit 1
}

start_server
for area in "${areas[@]}"; do
  "${inside[@]}" python3 "$golden/replay.py" --replay "https://$host:$port" --certs "$work" --jobs 4 \
    --diff "${diff_file:-$work/diff}.$area" "$@" "$golden/api/$area.jsonl"
done
if [ -n "$keep" ]; then
  echo "server https://$host:$port${namespace:+ in the network namespace $namespace}, certificates in $work; Ctrl-C ends it"
  trap 'exit 0' INT TERM
  while kill -0 "${pids[-1]}" 2>/dev/null; do sleep 1; done
fi
