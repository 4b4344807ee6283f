#!/usr/bin/env bash
# Prepares etc/ for running each daemon by hand, under a debugger (.vscode/launch.json) or as a systemd unit
# (cluster/systemd): certificates, kubeconfigs and configuration files under the names that those name.
# Usage: hack/dev-env.sh [-e] [-s]
#   -e   also start etcd in the foreground, on a fresh directory
#   -s   also write /etc/kubernetes/<daemon>.env, which the systemd units read
set -euo pipefail
KUBE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$KUBE_ROOT/hack/lib/certs.sh"
source "$KUBE_ROOT/hack/lib/runtime.sh"
with_etcd= with_env=
while getopts "es" option; do
  case $option in
    e) with_etcd=1 ;;
    s) with_env=1 ;;
    *) sed -n '2,6p' "$0" >&2 && exit 2 ;;
  esac
done

etc=$KUBE_ROOT/etc
cert=$etc/cert
mkdir -p "$cert" "$etc/kubelet/pki" "$etc/static-pods"
if [ ! -f "$cert/client-ca.crt" ]; then
  create_cluster_certs "$cert" 127.0.0.1 10.0.0.1 127.0.0.1 localhost
  for client in admin controller scheduler kubelet kube-proxy; do write_kubeconfig "$cert" https://localhost:6443 "$client"; done
  cp "$cert/admin.kubeconfig" "$cert/admin-kube-aggregator.kubeconfig"
  sed -i 's#server: .*#server: https://127.0.0.1:31090#' "$cert/admin-kube-aggregator.kubeconfig"
fi
create_service_account_key "$etc/kube-serviceaccount.key"
printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n' >"$etc/kube-audit-policy-file"
{
  printf 'apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n'
  printf -- '- name: %s\n  connection:\n    proxyProtocol: Direct\n' cluster controlplane etcd
} >"$etc/kube_egress_selector_configuration.yaml"
cat >"$etc/kube-scheduler.yaml" <<EOF
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: $cert/scheduler.kubeconfig
leaderElection:
  leaderElect: false
EOF
cat >"$etc/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
cgroupDriver: cgroupfs
containerRuntimeEndpoint: ${CONTAINER_RUNTIME_ENDPOINT:-$(default_cri_endpoint)}
failCgroupV1: false
failSwapOn: false
rotateCertificates: true
staticPodPath: $etc/static-pods
authentication:
  x509:
    clientCAFile: $cert/client-ca.crt
authorization:
  mode: Webhook
EOF
cat >"$etc/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection:
  kubeconfig: $cert/kube-proxy.kubeconfig
hostnameOverride: 127.0.0.1
conntrack:
  maxPerCore: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
EOF

if [ -n "$with_env" ]; then
  # The flags of the debugger configurations are the flags of the units: one list.
  mkdir -p /etc/kubernetes
  python3 - "$KUBE_ROOT" <<'EOF'
import json, re, sys
root = sys.argv[1]
text = open(root + "/.vscode/launch.json").read()
text = re.sub(r"(?m)^\s*//.*$", "", text)
for configuration in json.loads(text)["configurations"]:
    if configuration["name"] == "kubectl":
        continue
    arguments = [a.replace("${workspaceFolder}", root) for a in configuration["args"]]
    with open("/etc/kubernetes/" + configuration["name"] + ".env", "w") as out:
        out.write('KUBE_ARGS="%s"\n' % " ".join(arguments).replace("$", "\\$"))
EOF
fi
cat <<EOF
$etc is ready. The kubelet asks for a certificate of its own, and the API server reads logs from the kubelet. Once the API
server runs, allow both, one time per etcd:
  kubectl --kubeconfig=$cert/admin.kubeconfig create clusterrolebinding kubelet-csr --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient --group=system:nodes
  kubectl --kubeconfig=$cert/admin.kubeconfig create clusterrolebinding kube-apiserver-kubelet-admin --clusterrole=system:kubelet-api-admin --user=kube-apiserver
EOF
if [ -n "$with_etcd" ]; then
  exec etcd --data-dir "$(mktemp -d -t etcd.XXXXXX)" --log-level=warn
fi
