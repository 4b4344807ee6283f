#!/usr/bin/env bash
# The user's first five minutes, step by step, on a cluster of its own: hack/local-up-cluster.sh inside a network
# namespace that this script makes, with a containerd, certificates and directories of its own. Nothing leaves it.
# Usage: hack/e2e.sh -o DIR-OF-BINARIES [-k] [-K KUBECTL] [-r docker]
#   -k   keep the cluster running after the steps and print how to enter it
#   -K   the kubectl to use for the steps (default: ours; any real one from 1.27 on will do)
#   -r   the container runtime: containerd (default), or docker, see hack/lib/docker.sh for what that needs
set -euo pipefail
KUBE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binaries=${CARGO_TARGET_DIR:-$KUBE_ROOT/target}/debug
keep= kubectl_binary= runtime=containerd
while getopts "o:kK:r:" option; do
  case $option in
    o) binaries=$(cd "$OPTARG" && pwd) ;;
    k) keep=1 ;;
    K) kubectl_binary=$OPTARG ;;
    r) runtime=$OPTARG ;;
    *) sed -n '2,9p' "$0" >&2 && exit 2 ;;
  esac
done
kubectl_binary=${kubectl_binary:-$binaries/kubectl}
[ "$(id -u)" = 0 ] || { echo "skipped: the end-to-end test needs root" && exit 0; }

namespace=kube-e2e-$$
# Sockets have short paths, so the work directory has one as well.
work=$(mktemp -d /tmp/ke2e.XXXX)
# rustup and cargo look below HOME unless they are told otherwise; the images are built with rustc.
export RUSTUP_HOME=${RUSTUP_HOME:-${HOME:=/root}/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
export HOME=$work/home KUBECONFIG=$work/certs/admin.kubeconfig
mkdir -p "$HOME"
cluster=
failures=0

control_group_folders() { # control_group_folders NAME: its folder in every hierarchy of cgroup v1, or the one of v2
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup$1"
  else
    local hierarchy
    for hierarchy in /sys/fs/cgroup/*/; do [ -L "${hierarchy%/}" ] || echo "${hierarchy%/}$1"; done
  fi
}

cleanup() {
  trap - EXIT INT TERM
  if [ -n "$cluster" ]; then
    kill -TERM "$cluster" 2>/dev/null || true
    wait "$cluster" 2>/dev/null || true
  fi
  if [ "$runtime" = docker ]; then
    docker ps --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
  fi
  # Shims and containers outlive their runtime; they are found by this run's own directory, never by name.
  local pid mount
  for pid in $(ip netns pids "$namespace" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
  for pid in $(pgrep -f -- "$work/" 2>/dev/null || true); do [ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null || true; done
  for mount in $(grep -o "$work[^ ]*" /proc/self/mounts | sort -r || true); do umount -l "$mount" 2>/dev/null || true; done
  # The namespaces of the pods are those that have a link into this one.
  local pod
  for pod in $(ip netns list | grep -o '^cni-[^ ]*' || true); do
    ! ip -n "$pod" -o link 2>/dev/null | grep -q "link-netns $namespace" || ip netns delete "$pod"
  done
  ip netns delete "$namespace" 2>/dev/null || true
  local folder
  for folder in $(control_group_folders "/$namespace"); do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  if [ "$failures" = 0 ] && [ -z "${E2E_KEEP_LOGS:-}" ]; then rm -rf "$work"; else echo "logs: $work/logs"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

inside() { nsenter --net="/var/run/netns/$namespace" "$@"; }
k() { inside "$kubectl_binary" "$@"; }

ip netns add "$namespace"
inside ip link set lo up
# A node has an address that is not loopback, and packets to service addresses need a route before the DNAT rules see
# them. Both ends of the pair stay in the namespace, so the default route leads nowhere.
inside ip link add node0 type veth peer name node0-peer
inside ip addr add 192.168.127.2/24 dev node0
inside ip link set node0 up
inside ip link set node0-peer up
inside ip route add default via 192.168.127.1 dev node0

# A kubelet ends what runs in pod control groups below its root and belongs to no pod that it knows, so two clusters on
# one machine must not share a root.
[ -n "${CGROUP_ROOT:-}" ] || control_group_folders "/$namespace" | xargs mkdir -p

mkdir -p "$work"/{logs,certs,tmp}
export CERT_DIR=$work/certs LOG_DIR=$work/logs TMP_DIR=$work/tmp ETCD_DIR=$work/etcd KUBELET_ROOT_DIR=$work/kubelet \
  POD_MANIFEST_PATH=$work/static-pods POD_LOGS_DIR=$work/pods CNI_CONFIG_DIR=$work/cni CNI_DATA_DIR=$work/cni-data \
  CONTAINER_RUNTIME_ENDPOINT=unix://$work/containerd/containerd.sock IMAGE_ARCHIVE=${IMAGE_ARCHIVE:-$KUBE_ROOT/_output/images.tar} \
  CGROUP_ROOT=${CGROUP_ROOT:-/$namespace} API_HOST=127.0.0.1
[ -f "$IMAGE_ARCHIVE" ] || "$KUBE_ROOT/cluster/images/build.sh" "$IMAGE_ARCHIVE" >/dev/null
: >"$work/resolv.conf"
# How full the disk of the machine that runs the test is says nothing about the cluster.
export EVICTION_HARD=${EVICTION_HARD:-"memory.available<100Mi"}
export KUBELET_RESOLV_CONF=$work/resolv.conf

if [ "$runtime" = docker ]; then
  source "$KUBE_ROOT/hack/lib/runtime.sh"
  source "$KUBE_ROOT/hack/lib/docker.sh"
  start_docker "$work" "$IMAGE_ARCHIVE" k8s.local/pause:1.36
fi

echo "starting a cluster in the network namespace $namespace, logs in $work/logs"
inside "$KUBE_ROOT/hack/local-up-cluster.sh" -o "$binaries" >"$work/logs/local-up.log" 2>&1 &
cluster=$!

# eventually SECONDS DESCRIPTION COMMAND…: repeats until it succeeds; a step that does not is a failure
eventually() {
  local seconds=$1 what=$2 deadline
  shift 2
  deadline=$((SECONDS + seconds))
  while ! "$@" >"$work/logs/last-step.log" 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "FAIL  $what"
      sed 's/^/      /' "$work/logs/last-step.log" | tail -n 20
      failures=$((failures + 1))
      return 0
    fi
    sleep 0.2
  done
  echo "ok    $what"
}
contains() { # contains TEXT COMMAND…
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { echo "$output"; return 1; }
  [[ $output == *"$text"* ]] || { echo "expected '$text' in: $output"; return 1; }
}
ready_pods() { [ "$(k -n web get deployment web -o 'jsonpath={.status.readyReplicas}/{.status.updatedReplicas}/{.status.replicas}')" = "$1/$1/$1" ]; }
answers() { # answers URL N: N different pods answered within 40 requests
  local i seen
  seen=$(for ((i = 0; i < 40; i++)); do inside curl -sS --max-time 1 "$1" 2>/dev/null || break; done | sort -u | grep -c hello || true)
  [ "$seen" = "$2" ] || { echo "$seen pods of $2 answered at $1"; return 1; }
}
# shell_in_a_terminal POD: exec -it through a pseudo terminal, as a person would: size and a change of it, Ctrl-C, exit code,
# and the terminal as it was before
shell_in_a_terminal() {
  local keys=$work/keys screen=$work/screen session code=0
  rm -f "$keys" "$screen"
  mkfifo "$keys"
  cat >"$work/session.sh" <<END
tty >$work/tty
stty rows 31 cols 101
stty -g >$work/before
nsenter --net=/var/run/netns/$namespace $kubectl_binary -n web exec -it $1 -- sh
code=\$?
stty -g >$work/after
exit \$code
END
  script -qfec "bash $work/session.sh" "$screen" <"$keys" >/dev/null 2>&1 &
  session=$!
  exec 7>"$keys"
  on_screen '# ' && type_in 'stty size\r' && on_screen '31 101' || return 1
  stty -F "$(cat "$work/tty")" rows 44 cols 122
  retyped 'stty size\r' '44 122' || return 1
  type_in 'echo sl""eeps; sleep 100\r' && on_screen 'sleeps' && type_in '\003' && type_in 'echo co""de $?\r' && on_screen 'code 130' || return 1
  type_in 'cat\r' && type_in 'ec""hoed\r' && type_in '\004' && type_in 'exit 7\r' || return 1
  wait "$session" || code=$?
  exec 7>&-
  [ "$code" = 7 ] || { echo "the session ended with $code"; cat "$screen"; return 1; }
  cmp "$work/before" "$work/after"
}
type_in() { sleep 0.3 && printf "$1" >&7; }
on_screen() { # on_screen TEXT: waits until it was shown
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    ! grep -q -- "$1" "$work/screen" 2>/dev/null || return 0
    sleep 0.1
  done
  echo "'$1' was never shown in:"
  cat "$work/screen"
  return 1
}
retyped() { # retyped KEYS TEXT: types until the text is shown
  local tries
  for ((tries = 0; tries < 10; tries++)); do
    type_in "$1"
    sleep 0.5
    ! grep -q -- "$2" "$work/screen" || return 0
  done
  on_screen "$2"
}
# resized POD: other resources without a restart, as the API and the runtime have them
resized() {
  k -n web patch pod "$1" --subresource=resize -p '{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"20m"},"limits":{"cpu":"150m"}}}]}}' >/dev/null || return 1
  [ "$(k -n web get pod "$1" -o 'jsonpath={.status.containerStatuses[0].resources.limits.cpu}/{.status.containerStatuses[0].restartCount}')" = 150m/0 ]
}
first_pod() { k -n web get pods -l app=web -o 'jsonpath={.items[0].metadata.name}'; }

started() { grep -q "Local Kubernetes cluster is running" "$work/logs/local-up.log" || { kill -0 "$cluster" && false; }; }
eventually 180 "the cluster comes up" started
if [ "$failures" != 0 ]; then
  tail -n 25 "$work/logs/local-up.log"
  exit 1
fi

eventually 30 "get nodes shows a Ready node" contains " Ready " k get nodes
for component in controller-manager scheduler etcd-0; do
  eventually 10 "get componentstatuses shows $component" contains Healthy k get componentstatuses "$component"
done
eventually 10 "apply creates everything of web.yaml" contains "deployment.apps/web created" k apply -f "$KUBE_ROOT/cluster/examples/web.yaml"
eventually 90 "three pods become ready" ready_pods 3
eventually 10 "get pods -o wide" contains "127.0.0.1" k -n web get pods -o wide
pod=$(first_pod)
eventually 10 "describe pod shows its events" contains "Started" k -n web describe pod "$pod"
eventually 10 "logs" contains "listening on 8080" k -n web logs "$pod"
eventually 10 "exec" contains "Hello from a ConfigMap." k -n web exec "$pod" -- cat /etc/web/motd
eventually 0 "a shell in a terminal: size, resize, Ctrl-C, exit code" shell_in_a_terminal "$pod"
eventually 20 "a pod is resized in place" resized "$pod"
eventually 10 "the Secret is in the environment" contains "says hello" k -n web exec "$pod" -- sh -c 'echo $GREETING'
cluster_ip=$(k -n web get service web -o 'jsonpath={.spec.clusterIP}')
eventually 30 "all three pods answer at the ClusterIP" answers "http://$cluster_ip/" 3
eventually 30 "all three pods answer at the NodePort" answers "http://192.168.127.2:30080/" 3
# nftables has no node ports on the loopback address, as upstream's documentation says.
[ "${KUBE_PROXY_MODE:-}" = nftables ] ||
  eventually 30 "all three pods answer at the NodePort of the loopback address" answers "http://127.0.0.1:30080/" 3
eventually 10 "a second apply changes nothing" contains "deployment.apps/web unchanged" k apply -f "$KUBE_ROOT/cluster/examples/web.yaml"
eventually 10 "scale to 5" contains "scaled" k -n web scale deployment web --replicas=5
eventually 60 "five pods are ready" ready_pods 5
eventually 10 "scale back to 3" contains "scaled" k -n web scale deployment web --replicas=3
eventually 60 "three pods are left" ready_pods 3
eventually 10 "set image starts a rolling update" contains "image updated" k -n web set image deployment/web web=k8s.local/web:1.36-none
eventually 20 "rollout status waits for the broken image" contains "Waiting for deployment" bash -c "timeout 3 nsenter --net=/var/run/netns/$namespace $kubectl_binary -n web rollout status deployment/web || true"
eventually 30 "the missing image is told" contains "ImagePull" k -n web get pods
eventually 10 "rollout undo" contains "rolled back" k -n web rollout undo deployment/web
eventually 60 "rollout status reports success" contains "successfully rolled out" k -n web rollout status deployment/web --timeout=50s
eventually 60 "three pods are ready again" ready_pods 3
eventually 10 "rollout restart" contains "restarted" k -n web rollout restart deployment/web
eventually 90 "the restarted deployment is ready" contains "successfully rolled out" k -n web rollout status deployment/web --timeout=80s

# Crashes are part of normal life: the kubelet and the API server are killed, containers stay and the cluster converges.
restarts() { k -n web get pods -o 'jsonpath={range .items[*]}{.metadata.uid}:{.status.containerStatuses[0].restartCount} {end}'; }
pods_left() { [ "$(k -n web get pods --no-headers | wc -l)" = "$1" ]; }
eventually 60 "only the pods of the last rollout are left" pods_left 3
before=$(restarts)
for daemon in kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
  pid=$(pgrep -f -- "^$binaries/$daemon .*$work" | head -n 1 || true)
  [ -n "$pid" ] || continue
  mapfile -d '' -t command <"/proc/$pid/cmdline"
  kill -9 "$pid"
  # Its sockets are free once it is gone, or a zombie without threads that still end.
  while grep -q '^State:.[^Z]' "/proc/$pid"/task/*/status 2>/dev/null; do sleep 0.05; done
  inside "${command[@]}" >>"$work/logs/$daemon.log" 2>&1 &
  eventually 60 "the cluster converges after kill -9 of $daemon" ready_pods 3
done
nothing_restarted() {
  local now
  now=$(restarts)
  [ "$before" = "$now" ] || { echo "pods and restarts before: $before"; echo "and now: $now"; return 1; }
}
eventually 20 "no container restarted meanwhile" nothing_restarted
eventually 60 "the service still answers" answers "http://$cluster_ip/" 3

eventually 60 "delete -f" contains "deleted" k delete -f "$KUBE_ROOT/cluster/examples/web.yaml" --timeout=50s
namespace_is_gone() { ! k get namespace web >/dev/null 2>&1; }
eventually 60 "the namespace is gone, with everything in it" namespace_is_gone

if [ -n "$keep" ]; then
  echo "cluster kept; enter it with: nsenter --net=/var/run/netns/$namespace env KUBECONFIG=$KUBECONFIG $kubectl_binary get pods -A"
  wait "$cluster"
fi
if [ "$failures" != 0 ]; then
  echo "end-to-end: $failures steps failed"
  exit 1
fi
echo "end-to-end: all steps passed"
