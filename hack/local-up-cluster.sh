#!/usr/bin/env bash
# Brings a one-machine cluster up: installs what is missing, builds, makes certificates, starts etcd, a container
# runtime if none runs, and the daemons; waits until the node is Ready. Ctrl-C stops everything it started.
# The variables below are upstream's, with upstream's meaning and defaults; `-h` tells the options.
set -euo pipefail

KUBE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$KUBE_ROOT/hack/lib/certs.sh"
source "$KUBE_ROOT/hack/lib/runtime.sh"

usage() {
  cat <<EOF
Starts a local Kubernetes cluster. Run it as root.
  hack/local-up-cluster.sh           build the release binaries, then start
  hack/local-up-cluster.sh -O        start the binaries already built (target/release, else target/debug)
  hack/local-up-cluster.sh -o DIR    start the binaries in DIR (upstream's will do as well)
  hack/local-up-cluster.sh -d        prepare, then show the command lines of the daemons instead of running them
  hack/local-up-cluster.sh -h        this text
Variables (see the head of the script for all): START_MODE=all|kubeletonly|nokubelet|nokubeproxy, CONTAINER_RUNTIME_ENDPOINT,
CERT_DIR, LOG_DIR, LOG_LEVEL, FEATURE_GATES, KUBE_PROXY_MODE, KUBELET_FLAGS, PRESERVE_ETCD with ETCD_DIR, REUSE_CERTS, ENABLE_DAEMON
EOF
}

GO_OUT=${GO_OUT:-}
DRY_RUN=
guess_built_binaries() {
  local dir
  for dir in "${CARGO_TARGET_DIR:-$KUBE_ROOT/target}"/{release,debug}; do
    [ -x "$dir/kube-apiserver" ] && echo "$dir" && return
  done
  echo "error: no built binaries found; run without -O to build them" >&2
  return 1
}
while getopts "dho:O" option; do
  case $option in
    d) DRY_RUN=1 ;;
    o) GO_OUT=$OPTARG ;;
    O) GO_OUT=$(guess_built_binaries) ;;
    h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

# ---- cluster
START_MODE=${START_MODE:-all}
ENABLE_DAEMON=${ENABLE_DAEMON:-false}
HOSTNAME_OVERRIDE=${HOSTNAME_OVERRIDE:-127.0.0.1}
SERVICE_CLUSTER_IP_RANGE=${SERVICE_CLUSTER_IP_RANGE:-10.0.0.0/24}
FIRST_SERVICE_CLUSTER_IP=${FIRST_SERVICE_CLUSTER_IP:-10.0.0.1}
FEATURE_GATES=${FEATURE_GATES:-AllAlpha=false}
EMULATED_VERSION=${EMULATED_VERSION:+kube=$EMULATED_VERSION}
LEADER_ELECT=${LEADER_ELECT:-false}
LOG_LEVEL=${LOG_LEVEL:-3}
LOG_SPEC=${LOG_SPEC:-}
LOG_DIR=${LOG_DIR:-/tmp}
TMP_DIR=${TMP_DIR:-$(mktemp -d -t local-up-cluster.XXXXXX)}
CERT_DIR=${CERT_DIR:-/var/run/kubernetes}
REUSE_CERTS=${REUSE_CERTS:-false}
USER=${USER:-$(whoami)}

# ---- etcd
ETCD_HOST=${ETCD_HOST:-127.0.0.1}
ETCD_PORT=${ETCD_PORT:-2379}
ETCD_LOGLEVEL=${ETCD_LOGLEVEL:-warn}
ETCD_LOGFILE=${ETCD_LOGFILE:-$LOG_DIR/etcd.log}
ETCD_DIR=${ETCD_DIR:-}
ETCD_FLAGS=${ETCD_FLAGS:-}
PRESERVE_ETCD=${PRESERVE_ETCD:-false}
KUBE_INTEGRATION_ETCD_URL=${KUBE_INTEGRATION_ETCD_URL:-http://$ETCD_HOST:$ETCD_PORT}

# ---- kube-apiserver
API_HOST=${API_HOST:-localhost}
API_HOST_IP=${API_HOST_IP:-127.0.0.1}
API_BIND_ADDR=${API_BIND_ADDR:-0.0.0.0}
API_SECURE_PORT=${API_SECURE_PORT:-6443}
ADVERTISE_ADDRESS=${ADVERTISE_ADDRESS:-}
EXTERNAL_HOSTNAME=${EXTERNAL_HOSTNAME:-localhost}
NODE_PORT_RANGE=${NODE_PORT_RANGE:-}
ALLOW_PRIVILEGED=${ALLOW_PRIVILEGED:-}
RUNTIME_CONFIG=${RUNTIME_CONFIG:-}
AUTHORIZATION_MODE=${AUTHORIZATION_MODE:-Node,RBAC}
AUTHORIZATION_CONFIG=${AUTHORIZATION_CONFIG:-}
AUTHORIZATION_WEBHOOK_CONFIG_FILE=${AUTHORIZATION_WEBHOOK_CONFIG_FILE:-}
AUTHENTICATION_WEBHOOK_CONFIG_FILE=${AUTHENTICATION_WEBHOOK_CONFIG_FILE:-}
AUDIT_POLICY_FILE=${AUDIT_POLICY_FILE:-}
EGRESS_SELECTOR_CONFIG_FILE=${EGRESS_SELECTOR_CONFIG_FILE:-}
ENABLE_ADMISSION_PLUGINS=${ENABLE_ADMISSION_PLUGINS:-NamespaceLifecycle,LimitRanger,ServiceAccount,DefaultStorageClass,DefaultTolerationSeconds,Priority,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,ResourceQuota,NodeRestriction}
DISABLE_ADMISSION_PLUGINS=${DISABLE_ADMISSION_PLUGINS:-}
ADMISSION_CONTROL_CONFIG_FILE=${ADMISSION_CONTROL_CONFIG_FILE:-}
API_CORS_ALLOWED_ORIGINS=${API_CORS_ALLOWED_ORIGINS:-'//127.0.0.1(:[0-9]+)?$,//localhost(:[0-9]+)?$'}
STORAGE_BACKEND=${STORAGE_BACKEND:-etcd3}
STORAGE_MEDIA_TYPE=${STORAGE_MEDIA_TYPE:-application/vnd.kubernetes.protobuf}
SERVICE_ACCOUNT_LOOKUP=${SERVICE_ACCOUNT_LOOKUP:-true}
SERVICE_ACCOUNT_KEY=${SERVICE_ACCOUNT_KEY:-$TMP_DIR/kube-serviceaccount.key}
WAIT_FOR_URL_API_SERVER=${WAIT_FOR_URL_API_SERVER:-60}

# ---- kube-controller-manager and kube-scheduler
KUBE_CONTROLLERS=${KUBE_CONTROLLERS:-*}
KCM_SECURE_PORT=${KCM_SECURE_PORT:-10257}
SCHEDULER_SECURE_PORT=${SCHEDULER_SECURE_PORT:-10259}
ROOT_CA_FILE=${ROOT_CA_FILE:-$CERT_DIR/server-ca.crt}
CLUSTER_SIGNING_CERT_FILE=${CLUSTER_SIGNING_CERT_FILE:-$CERT_DIR/client-ca.crt}
CLUSTER_SIGNING_KEY_FILE=${CLUSTER_SIGNING_KEY_FILE:-$CERT_DIR/client-ca.key}
ENABLE_HOSTPATH_PROVISIONER=${ENABLE_HOSTPATH_PROVISIONER:-false}
CLAIM_BINDER_SYNC_PERIOD=${CLAIM_BINDER_SYNC_PERIOD:-15s}
CLOUD_PROVIDER=${CLOUD_PROVIDER:-}
CLOUD_CONFIG=${CLOUD_CONFIG:-}
DEFAULT_STORAGE_CLASS=${KUBE_DEFAULT_STORAGE_CLASS:-true}

# ---- kubelet and container runtime
KUBELET_HOST=${KUBELET_HOST:-127.0.0.1}
KUBELET_PORT=${KUBELET_PORT:-10250}
KUBELET_READ_ONLY_PORT=${KUBELET_READ_ONLY_PORT:-0}
KUBELET_HEALTHZ_PORT=${KUBELET_HEALTHZ_PORT:-10248}
KUBELET_FLAGS=${KUBELET_FLAGS:-}
KUBELET_ROOT_DIR=${KUBELET_ROOT_DIR:-/var/lib/kubelet}
KUBELET_RESOLV_CONF=${KUBELET_RESOLV_CONF:-/etc/resolv.conf}
POD_MANIFEST_PATH=${POD_MANIFEST_PATH:-/var/run/kubernetes/static-pods}
POD_LOGS_DIR=${POD_LOGS_DIR:-/var/log/pods}
FAIL_SWAP_ON=${FAIL_SWAP_ON:-false}
CGROUPS_PER_QOS=${CGROUPS_PER_QOS:-true}
CGROUP_DRIVER=${CGROUP_DRIVER:-cgroupfs}
CGROUP_ROOT=${CGROUP_ROOT:-}
CPU_CFS_QUOTA=${CPU_CFS_QUOTA:-true}
ENABLE_CONTROLLER_ATTACH_DETACH=${ENABLE_CONTROLLER_ATTACH_DETACH:-true}
LOCAL_STORAGE_CAPACITY_ISOLATION=${LOCAL_STORAGE_CAPACITY_ISOLATION:-true}
RUNTIME_REQUEST_TIMEOUT=${RUNTIME_REQUEST_TIMEOUT:-2m}
EVICTION_HARD=${EVICTION_HARD:-"imagefs.available<15%,memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%"}
EVICTION_SOFT=${EVICTION_SOFT:-}
EVICTION_PRESSURE_TRANSITION_PERIOD=${EVICTION_PRESSURE_TRANSITION_PERIOD:-1m}
LIMITED_SWAP=${LIMITED_SWAP:-}
TOPOLOGY_MANAGER_POLICY=${TOPOLOGY_MANAGER_POLICY:-}
MEMORY_MANAGER_POLICY=${MEMORY_MANAGER_POLICY:-}
CPUMANAGER_POLICY=${CPUMANAGER_POLICY:-}
CPUMANAGER_RECONCILE_PERIOD=${CPUMANAGER_RECONCILE_PERIOD:-}
# No DNS addon is built yet (cluster/addons/dns says so); pods get the host's resolver unless this is true.
ENABLE_CLUSTER_DNS=${KUBE_ENABLE_CLUSTER_DNS:-false}
DNS_SERVER_IP=${KUBE_DNS_SERVER_IP:-10.0.0.10}
DNS_DOMAIN=${KUBE_DNS_NAME:-cluster.local}
CONTAINER_RUNTIME_ENDPOINT=${CONTAINER_RUNTIME_ENDPOINT:-$(default_cri_endpoint)}
IMAGE_SERVICE_ENDPOINT=${IMAGE_SERVICE_ENDPOINT:-}
CNI_CONFIG_DIR=${CNI_CONFIG_DIR:-/etc/cni/net.d}
IMAGE_ARCHIVE=${IMAGE_ARCHIVE:-$KUBE_ROOT/_output/images.tar}
PAUSE_IMAGE=${PAUSE_IMAGE:-k8s.local/pause:1.36}

# ---- kube-proxy
KUBE_PROXY_MODE=${KUBE_PROXY_MODE:-}
PROXY_HEALTHZ_PORT=${PROXY_HEALTHZ_PORT:-10256}
PROXY_METRICS_PORT=${PROXY_METRICS_PORT:-10249}

starts() { # starts kubelet|kubeproxy|controlplane
  case $1 in
    controlplane) [ "$START_MODE" != kubeletonly ] ;;
    kubelet) [[ $START_MODE != *nokubelet* ]] ;;
    kubeproxy) [ "$START_MODE" != kubeletonly ] && [[ $START_MODE != *nokubeproxy* ]] ;;
  esac
}

STARTED=()   # names of what runs, in the order of starting
declare -A PIDS LOGS
OWN_ETCD_DIR=

# start NAME LOG COMMAND...: in the background, remembered for the health loop and for stopping
start() {
  local name=$1 log=$2
  shift 2
  if [ -n "$DRY_RUN" ]; then
    echo "RUN $name: $*"
    return
  fi
  "$@" >"$log" 2>&1 &
  PIDS[$name]=$!
  LOGS[$name]=$log
  STARTED+=("$name")
}

cleanup() {
  trap - EXIT INT TERM
  [ ${#STARTED[@]} -eq 0 ] || echo "Cleaning up..."
  local i name
  for ((i = ${#STARTED[@]} - 1; i >= 0; i--)); do
    name=${STARTED[i]}
    [ -n "${PIDS[$name]}" ] || continue
    [ "$name" != containerd ] || stop_pods
    kill "${PIDS[$name]}" 2>/dev/null || true
    # A daemon that does not end within ten seconds is killed, so that nothing stays behind.
    local waited
    for ((waited = 0; waited < 100; waited++)); do
      kill -0 "${PIDS[$name]}" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "${PIDS[$name]}" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  [ -z "$OWN_ETCD_DIR" ] || [ "$PRESERVE_ETCD" = true ] || rm -rf "$OWN_ETCD_DIR"
}

# stop_pods: containers outlive containerd, so those of a runtime that this script started go before it does
stop_pods() {
  local socket=${CONTAINER_RUNTIME_ENDPOINT#unix://} id
  for id in $(ctr --address "$socket" -n k8s.io tasks ls -q 2>/dev/null); do
    ctr --address "$socket" -n k8s.io tasks kill -s SIGKILL "$id" >/dev/null 2>&1 || true
  done
  for id in $(ctr --address "$socket" -n k8s.io containers ls -q 2>/dev/null); do
    ctr --address "$socket" -n k8s.io tasks delete -f "$id" >/dev/null 2>&1 || true
    ctr --address "$socket" -n k8s.io containers delete "$id" >/dev/null 2>&1 || true
  done
}

fail() {
  echo "error: $*" >&2
  exit 1
}

# wait_until SECONDS WHAT NAME-OF-DAEMON COMMAND...
wait_until() {
  local seconds=$1 what=$2 daemon=$3 tries
  shift 3
  [ -z "$DRY_RUN" ] || return 0
  for ((tries = 0; tries < seconds * 20; tries++)); do
    "$@" >/dev/null 2>&1 && return 0
    if [ -n "${PIDS[$daemon]:-}" ] && ! kill -0 "${PIDS[$daemon]}" 2>/dev/null; then
      tail -n 15 "${LOGS[$daemon]}" >&2
      fail "$daemon terminated unexpectedly, see ${LOGS[$daemon]}"
    fi
    sleep 0.05
  done
  [ -z "${LOGS[$daemon]:-}" ] || tail -n 15 "${LOGS[$daemon]}" >&2
  fail "timed out after ${seconds}s waiting for $what, see ${LOGS[$daemon]:-the logs in $LOG_DIR}"
}

kubectl() { "$GO_OUT/kubectl" --kubeconfig="$CERT_DIR/admin.kubeconfig" "$@"; }
run_kubectl() { if [ -n "$DRY_RUN" ]; then echo "RUN kubectl: $*"; else kubectl "$@"; fi; }
port_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

build() {
  [ -n "$GO_OUT" ] && return
  "$KUBE_ROOT/hack/install-deps.sh" all
  export PATH="$PATH:$HOME/.cargo/bin"
  (cd "$KUBE_ROOT" && cargo build --release --locked --bin kube-apiserver --bin kube-controller-manager --bin kube-scheduler --bin kubelet --bin kube-proxy --bin kubectl)
  GO_OUT=${CARGO_TARGET_DIR:-$KUBE_ROOT/target}/release
}

start_etcd() {
  command -v etcd >/dev/null || fail "etcd is not in the PATH; hack/install-deps.sh run installs it"
  ! port_open "$ETCD_HOST" "$ETCD_PORT" || fail "something listens on $ETCD_HOST:$ETCD_PORT already; stop it or set ETCD_PORT"
  if [ -z "$ETCD_DIR" ]; then
    OWN_ETCD_DIR=$(mktemp -d -t test-etcd.XXXXXX)
    ETCD_DIR=$OWN_ETCD_DIR
  fi
  # shellcheck disable=SC2086
  start etcd "$ETCD_LOGFILE" etcd --advertise-client-urls "$KUBE_INTEGRATION_ETCD_URL" --data-dir "$ETCD_DIR" \
    --listen-client-urls "$KUBE_INTEGRATION_ETCD_URL" --listen-peer-urls "http://$ETCD_HOST:$((ETCD_PORT + 1))" \
    --initial-advertise-peer-urls "http://$ETCD_HOST:$((ETCD_PORT + 1))" --initial-cluster "default=http://$ETCD_HOST:$((ETCD_PORT + 1))" \
    --log-level="$ETCD_LOGLEVEL" $ETCD_FLAGS
  wait_until 30 "etcd" etcd curl -fsS "$KUBE_INTEGRATION_ETCD_URL/health"
}

make_certs() {
  mkdir -p "$CERT_DIR"
  create_service_account_key "$SERVICE_ACCOUNT_KEY"
  local client
  if [ "$REUSE_CERTS" != true ]; then
    rm -f "$CERT_DIR/kubelet-rotated.kubeconfig"
    rm -rf "$KUBELET_ROOT_DIR/pki"
    create_cluster_certs "$CERT_DIR" "$HOSTNAME_OVERRIDE" "$FIRST_SERVICE_CLUSTER_IP" "$API_HOST" "$API_HOST_IP" ${ADVERTISE_ADDRESS:+"$ADVERTISE_ADDRESS"}
    for client in admin controller scheduler kubelet kube-proxy kube-aggregator; do
      write_kubeconfig "$CERT_DIR" "https://$API_HOST:$API_SECURE_PORT" "$client"
    done
  fi
  chown "$USER" "$CERT_DIR/client-admin.key" "$CERT_DIR/admin.kubeconfig" 2>/dev/null || true
}

start_apiserver() {
  ! port_open "$API_HOST_IP" "$API_SECURE_PORT" || fail "something is serving already on $API_HOST_IP:$API_SECURE_PORT"
  if [ -z "$EGRESS_SELECTOR_CONFIG_FILE" ]; then
    EGRESS_SELECTOR_CONFIG_FILE=$TMP_DIR/kube_egress_selector_configuration.yaml
    {
      echo "apiVersion: apiserver.k8s.io/v1beta1"
      echo "kind: EgressSelectorConfiguration"
      echo "egressSelections:"
      printf -- '- name: %s\n  connection:\n    proxyProtocol: Direct\n' cluster controlplane etcd
    } >"$EGRESS_SELECTOR_CONFIG_FILE"
  fi
  if [ -z "$AUDIT_POLICY_FILE" ]; then
    AUDIT_POLICY_FILE=$TMP_DIR/kube-audit-policy-file
    printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n' >"$AUDIT_POLICY_FILE"
  fi
  local optional=()
  if [ -n "$AUTHORIZATION_CONFIG" ]; then
    optional+=("--authorization-config=$AUTHORIZATION_CONFIG")
  else
    optional+=("--authorization-mode=$AUTHORIZATION_MODE"
      "--authorization-webhook-config-file=$AUTHORIZATION_WEBHOOK_CONFIG_FILE"
      "--authentication-token-webhook-config-file=$AUTHENTICATION_WEBHOOK_CONFIG_FILE")
  fi
  [ -z "$ALLOW_PRIVILEGED" ] || optional+=("--allow-privileged=$ALLOW_PRIVILEGED")
  [ -z "$RUNTIME_CONFIG" ] || optional+=("--runtime-config=$RUNTIME_CONFIG")
  [ -z "$NODE_PORT_RANGE" ] || optional+=("--service-node-port-range=$NODE_PORT_RANGE")
  [ "$API_HOST_IP" = 127.0.0.1 ] || optional+=("--advertise-address=$API_HOST_IP")
  [ -z "$ADVERTISE_ADDRESS" ] || optional+=("--advertise-address=$ADVERTISE_ADDRESS")
  start kube-apiserver "$LOG_DIR/kube-apiserver.log" "$GO_OUT/kube-apiserver" "${optional[@]}" \
    --v="$LOG_LEVEL" --vmodule="$LOG_SPEC" \
    --audit-policy-file="$AUDIT_POLICY_FILE" --audit-log-path="$LOG_DIR/kube-apiserver-audit.log" \
    --cert-dir="$CERT_DIR" --egress-selector-config-file="$EGRESS_SELECTOR_CONFIG_FILE" \
    --client-ca-file="$CERT_DIR/client-ca.crt" \
    --kubelet-client-certificate="$CERT_DIR/client-kube-apiserver.crt" --kubelet-client-key="$CERT_DIR/client-kube-apiserver.key" \
    --kubelet-port="$KUBELET_PORT" --kubelet-read-only-port="$KUBELET_READ_ONLY_PORT" \
    --service-account-key-file="$SERVICE_ACCOUNT_KEY" --service-account-lookup="$SERVICE_ACCOUNT_LOOKUP" \
    --service-account-issuer="https://kubernetes.default.svc" \
    --service-account-jwks-uri="https://kubernetes.default.svc/openid/v1/jwks" \
    --service-account-signing-key-file="$SERVICE_ACCOUNT_KEY" \
    --enable-admission-plugins="$ENABLE_ADMISSION_PLUGINS" --disable-admission-plugins="$DISABLE_ADMISSION_PLUGINS" \
    --admission-control-config-file="$ADMISSION_CONTROL_CONFIG_FILE" \
    --bind-address="$API_BIND_ADDR" --secure-port="$API_SECURE_PORT" \
    --tls-cert-file="$CERT_DIR/serving-kube-apiserver.crt" --tls-private-key-file="$CERT_DIR/serving-kube-apiserver.key" \
    --storage-backend="$STORAGE_BACKEND" --storage-media-type="$STORAGE_MEDIA_TYPE" \
    --etcd-servers="http://$ETCD_HOST:$ETCD_PORT" --service-cluster-ip-range="$SERVICE_CLUSTER_IP_RANGE" \
    --feature-gates="$FEATURE_GATES" --emulated-version="$EMULATED_VERSION" --external-hostname="$EXTERNAL_HOSTNAME" \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-client-ca-file="$CERT_DIR/request-header-ca.crt" \
    --requestheader-allowed-names=system:auth-proxy \
    --proxy-client-cert-file="$CERT_DIR/client-auth-proxy.crt" --proxy-client-key-file="$CERT_DIR/client-auth-proxy.key" \
    --cors-allowed-origins="$API_CORS_ALLOWED_ORIGINS"
  echo "Waiting for apiserver to come up"
  wait_until "$WAIT_FOR_URL_API_SERVER" "apiserver" kube-apiserver \
    curl -fsS --cacert "$CERT_DIR/server-ca.crt" --cert "$CERT_DIR/client-admin.crt" --key "$CERT_DIR/client-admin.key" \
    "https://$API_HOST_IP:$API_SECURE_PORT/readyz"
  # The bindings stay in etcd; a second start over a preserved etcd finds them there.
  run_kubectl create clusterrolebinding kube-apiserver-kubelet-admin --clusterrole=system:kubelet-api-admin --user=kube-apiserver ||
    [ "$PRESERVE_ETCD" = true ]
  run_kubectl create clusterrolebinding kubelet-csr --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient --group=system:nodes ||
    [ "$PRESERVE_ETCD" = true ]
  cp "$CERT_DIR/admin.kubeconfig" "$CERT_DIR/admin-kube-aggregator.kubeconfig"
  run_kubectl config set-cluster local-up-cluster --kubeconfig="$CERT_DIR/admin-kube-aggregator.kubeconfig" --server="https://$API_HOST_IP:31090"
}

start_controller_manager() {
  start kube-controller-manager "$LOG_DIR/kube-controller-manager.log" "$GO_OUT/kube-controller-manager" \
    --v="$LOG_LEVEL" --vmodule="$LOG_SPEC" \
    --service-account-private-key-file="$SERVICE_ACCOUNT_KEY" --service-cluster-ip-range="$SERVICE_CLUSTER_IP_RANGE" \
    --root-ca-file="$ROOT_CA_FILE" \
    --cluster-signing-cert-file="$CLUSTER_SIGNING_CERT_FILE" --cluster-signing-key-file="$CLUSTER_SIGNING_KEY_FILE" \
    --enable-hostpath-provisioner="$ENABLE_HOSTPATH_PROVISIONER" --pvclaimbinder-sync-period="$CLAIM_BINDER_SYNC_PERIOD" \
    --feature-gates="$FEATURE_GATES" --emulated-version="$EMULATED_VERSION" \
    --cloud-provider="$CLOUD_PROVIDER" --cloud-config="$CLOUD_CONFIG" \
    --authentication-kubeconfig "$CERT_DIR/controller.kubeconfig" --authorization-kubeconfig "$CERT_DIR/controller.kubeconfig" \
    --kubeconfig "$CERT_DIR/controller.kubeconfig" --use-service-account-credentials \
    --controllers="$KUBE_CONTROLLERS" --leader-elect="$LEADER_ELECT" --cert-dir="$CERT_DIR" \
    --secure-port="$KCM_SECURE_PORT" --bind-address="$API_BIND_ADDR" --master="https://$API_HOST:$API_SECURE_PORT"
}

start_scheduler() {
  cat >"$TMP_DIR/kube-scheduler.yaml" <<EOF
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: $CERT_DIR/scheduler.kubeconfig
leaderElection:
  leaderElect: $LEADER_ELECT
EOF
  start kube-scheduler "$LOG_DIR/kube-scheduler.log" "$GO_OUT/kube-scheduler" \
    --v="$LOG_LEVEL" --config="$TMP_DIR/kube-scheduler.yaml" --feature-gates="$FEATURE_GATES" --emulated-version="$EMULATED_VERSION" \
    --authentication-kubeconfig "$CERT_DIR/scheduler.kubeconfig" --authorization-kubeconfig "$CERT_DIR/scheduler.kubeconfig" \
    --secure-port="$SCHEDULER_SECURE_PORT" --bind-address="$API_BIND_ADDR" --master="https://$API_HOST:$API_SECURE_PORT"
}

# runtime_answers SOCKET: containerd is asked in its own words, of cri-dockerd only the socket can be seen
runtime_answers() {
  [ -S "$1" ] || return 1
  case $1 in
    *cri-dockerd*) ;;
    *) ctr --address "$1" version >/dev/null 2>&1 ;;
  esac
}

# start_runtime: a containerd of our own, only when nothing answers on a containerd endpoint
start_runtime() {
  local socket=${CONTAINER_RUNTIME_ENDPOINT#unix://} state root
  [ -z "$DRY_RUN" ] || return 0
  if ! runtime_answers "$socket"; then
    case $socket in
      *cri-dockerd*) fail "no CRI endpoint at $CONTAINER_RUNTIME_ENDPOINT: start Docker and cri-dockerd first" ;;
      /run/containerd/containerd.sock) root=/var/lib/containerd state=/run/containerd ;;
      *) root=$(dirname "$socket")/root state=$(dirname "$socket")/state ;;
    esac
    command -v containerd >/dev/null || fail "containerd is not installed; hack/install-deps.sh run installs it"
    mkdir -p "$(dirname "$socket")" "$root" "$state"
    [ -n "$(ls "$CNI_CONFIG_DIR" 2>/dev/null)" ] || write_cni_config "$CNI_CONFIG_DIR"
    write_containerd_config "$TMP_DIR/containerd.toml" "$socket" "$root" "$state" "$CNI_CONFIG_DIR" "$PAUSE_IMAGE"
    start containerd "$LOG_DIR/containerd.log" containerd --config "$TMP_DIR/containerd.toml"
    wait_until 30 "containerd" containerd ctr --address "$socket" version
  fi
  [ -f "$IMAGE_ARCHIVE" ] || "$KUBE_ROOT/cluster/images/build.sh" "$IMAGE_ARCHIVE" >/dev/null
  case $socket in
    *containerd*) import_images "$socket" "$IMAGE_ARCHIVE" ;;
    *cri-dockerd*) docker load -i "$IMAGE_ARCHIVE" >/dev/null ;;
  esac
}

yaml_map() { # yaml_map KEY "a<b,c<d" SEPARATOR QUOTE: a map of the pairs
  local pair
  [ -n "$2" ] || return 0
  echo "$1:"
  for pair in ${2//,/ }; do echo "  ${pair%%"$3"*}: $4${pair#*"$3"}$4"; done
}

write_kubelet_config() {
  {
    cat <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: "$KUBELET_HOST"
cgroupDriver: "$CGROUP_DRIVER"
cgroupRoot: "$CGROUP_ROOT"
cgroupsPerQOS: $CGROUPS_PER_QOS
containerRuntimeEndpoint: $CONTAINER_RUNTIME_ENDPOINT
cpuCFSQuota: $CPU_CFS_QUOTA
enableControllerAttachDetach: $ENABLE_CONTROLLER_ATTACH_DETACH
localStorageCapacityIsolation: $LOCAL_STORAGE_CAPACITY_ISOLATION
evictionPressureTransitionPeriod: "$EVICTION_PRESSURE_TRANSITION_PERIOD"
failSwapOn: $FAIL_SWAP_ON
port: $KUBELET_PORT
readOnlyPort: $KUBELET_READ_ONLY_PORT
healthzPort: $KUBELET_HEALTHZ_PORT
healthzBindAddress: $KUBELET_HOST
rotateCertificates: true
runtimeRequestTimeout: "$RUNTIME_REQUEST_TIMEOUT"
staticPodPath: "$POD_MANIFEST_PATH"
podLogsDir: "$POD_LOGS_DIR"
resolvConf: "$KUBELET_RESOLV_CONF"
failCgroupV1: false
# Images were imported and cannot be pulled again, so a full disk is no reason to remove them.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
authentication:
  webhook:
    enabled: ${KUBELET_AUTHENTICATION_WEBHOOK:-true}
  x509:
    clientCAFile: "${CLIENT_CA_FILE:-$CERT_DIR/client-ca.crt}"
authorization:
  mode: $([ "${KUBELET_AUTHORIZATION_WEBHOOK:-true}" = false ] && echo AlwaysAllow || echo Webhook)
EOF
    if [ "$ENABLE_CLUSTER_DNS" = true ]; then
      printf 'clusterDNS: ["%s"]\nclusterDomain: "%s"\n' "$DNS_SERVER_IP" "$DNS_DOMAIN"
    fi
    [ "$LIMITED_SWAP" != true ] || printf 'memorySwap:\n  swapBehavior: LimitedSwap\n'
    yaml_map evictionHard "$EVICTION_HARD" "<" '"'
    yaml_map evictionSoft "$EVICTION_SOFT" "<" '"'
    yaml_map featureGates "$FEATURE_GATES" "=" ""
    [ -z "$TOPOLOGY_MANAGER_POLICY" ] || echo "topologyManagerPolicy: \"$TOPOLOGY_MANAGER_POLICY\""
    [ -z "$MEMORY_MANAGER_POLICY" ] || echo "memoryManagerPolicy: \"$MEMORY_MANAGER_POLICY\""
    [ -z "$CPUMANAGER_POLICY" ] || echo "cpuManagerPolicy: \"$CPUMANAGER_POLICY\""
    [ -z "$CPUMANAGER_RECONCILE_PERIOD" ] || echo "cpuManagerReconcilePeriod: \"$CPUMANAGER_RECONCILE_PERIOD\""
  } >"$TMP_DIR/kubelet.yaml"
}

start_kubelet() {
  mkdir -p "$POD_MANIFEST_PATH" "$KUBELET_ROOT_DIR"
  write_kubelet_config
  # shellcheck disable=SC2086
  start kubelet "$LOG_DIR/kubelet.log" "$GO_OUT/kubelet" \
    --v="$LOG_LEVEL" --vmodule="$LOG_SPEC" --hostname-override="$HOSTNAME_OVERRIDE" --root-dir="$KUBELET_ROOT_DIR" --cert-dir="$KUBELET_ROOT_DIR/pki" \
    --bootstrap-kubeconfig="$CERT_DIR/kubelet.kubeconfig" --kubeconfig="$CERT_DIR/kubelet-rotated.kubeconfig" \
    ${IMAGE_SERVICE_ENDPOINT:+--image-service-endpoint="$IMAGE_SERVICE_ENDPOINT"} --config="$TMP_DIR/kubelet.yaml" $KUBELET_FLAGS
}

wait_node_ready() {
  echo "Waiting for the node to be Ready"
  wait_until 120 "node $HOSTNAME_OVERRIDE to be Ready" kubelet node_is_ready
}
node_is_ready() {
  [ "$(kubectl get node "$HOSTNAME_OVERRIDE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

start_kubeproxy() {
  {
    cat <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection:
  kubeconfig: $CERT_DIR/kube-proxy.kubeconfig
hostnameOverride: $HOSTNAME_OVERRIDE
mode: "$KUBE_PROXY_MODE"
conntrack:
  maxPerCore: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
EOF
    yaml_map featureGates "$FEATURE_GATES" "=" ""
  } >"$TMP_DIR/kube-proxy.yaml"
  start kube-proxy "$LOG_DIR/kube-proxy.log" "$GO_OUT/kube-proxy" \
    --v="$LOG_LEVEL" --config="$TMP_DIR/kube-proxy.yaml" \
    --healthz-port="$PROXY_HEALTHZ_PORT" --healthz-bind-address="$API_BIND_ADDR:$PROXY_HEALTHZ_PORT" \
    --metrics-port="$PROXY_METRICS_PORT" --metrics-bind-address="$API_BIND_ADDR:$PROXY_METRICS_PORT" \
    --master="https://$API_HOST:$API_SECURE_PORT"
}

create_storage_class() {
  local class_file=${CLASS_FILE:-$KUBE_ROOT/cluster/addons/storage-class/${CLOUD_PROVIDER:-local}/default.yaml}
  if [ -e "$class_file" ]; then
    run_kubectl apply -f "$class_file"
  else
    echo "No storage class available for ${CLOUD_PROVIDER:-local}."
  fi
}

print_success() {
  [ -z "$DRY_RUN" ] || return 0
  echo
  echo "Local Kubernetes cluster is running.$([ "$ENABLE_DAEMON" = true ] || echo " Press Ctrl-C to shut it down.")"
  echo "Logs:"
  local name
  for name in "${STARTED[@]}"; do echo "  ${LOGS[$name]}"; done
  cat <<EOF

To start using your cluster, open another terminal and type:

  export KUBECONFIG=$CERT_DIR/admin.kubeconfig
  export PATH=$GO_OUT:\$PATH
  kubectl get nodes
  kubectl apply -f $KUBE_ROOT/cluster/examples/web.yaml
  kubectl -n web get pods -o wide -w
EOF
}

# watch_daemons: until Ctrl-C; says once of each daemon that ended by itself
watch_daemons() {
  local name
  while true; do
    for name in "${STARTED[@]}"; do
      if [ -n "${PIDS[$name]}" ] && ! kill -0 "${PIDS[$name]}" 2>/dev/null; then
        echo "W$(date '+%m%d %H:%M:%S')] $name terminated unexpectedly, see ${LOGS[$name]}" >&2
        PIDS[$name]=
      fi
    done
    sleep 1
  done
}

[ "$(id -u)" = 0 ] || fail "run this script as root: the kubelet, kube-proxy and the container runtime need it"
mkdir -p "$LOG_DIR" "$TMP_DIR"
build
if [ "$ENABLE_DAEMON" = false ] && [ -z "$DRY_RUN" ]; then
  trap cleanup EXIT
  trap 'exit 0' INT TERM
fi
echo "Starting services now!"
if starts controlplane; then
  start_etcd
  make_certs
  start_apiserver
  start_controller_manager
  start_scheduler
fi
if starts kubelet; then
  start_runtime
  start_kubelet
fi
if starts kubeproxy; then
  ! starts kubelet || wait_node_ready
  start_kubeproxy
fi
if starts controlplane && [ "$DEFAULT_STORAGE_CLASS" = true ]; then
  create_storage_class
fi
print_success
if [ -z "$DRY_RUN" ] && [ "$ENABLE_DAEMON" = false ]; then
  watch_daemons
fi
