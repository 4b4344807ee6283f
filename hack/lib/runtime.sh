# The container runtime of a local cluster: which endpoint, a containerd of our own when none runs. Sourced, never run.

# default_cri_endpoint: cri-dockerd's socket where it exists, else containerd's
default_cri_endpoint() {
  if [ -S /run/cri-dockerd.sock ]; then
    echo unix:///run/cri-dockerd.sock
  else
    echo unix:///run/containerd/containerd.sock
  fi
}

cni_bin_dir() {
  if [ -x /opt/cni/bin/ptp ]; then echo /opt/cni/bin; else echo /usr/lib/cni; fi
}

# write_cni_config DIR: one network, as upstream's script has it: ptp with host-local addresses, and hostPort support
write_cni_config() {
  mkdir -p "$1"
  cat >"$1/10-containerd-net.conflist" <<EOF
{
  "cniVersion": "0.4.0",
  "name": "containerd-net",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "${CNI_DATA_DIR:-/var/lib/cni/networks}",
        "ranges": [[{"subnet": "${POD_SUBNET:-10.88.0.0/16}"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}, "externalSetMarkChain": "KUBE-MARK-MASQ"}
  ]
}
EOF
}

# lacks_sys_resource: true where CAP_SYS_RESOURCE (bit 24) is missing, so that no oom score below zero can be set
lacks_sys_resource() {
  local effective
  effective=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
  (((0x$effective >> 24 & 1) == 0))
}

# write_containerd_config FILE SOCKET ROOT STATE CNI-CONF-DIR PAUSE-IMAGE
write_containerd_config() {
  local restrict=false
  lacks_sys_resource && restrict=true
  cat >"$1" <<EOF
version = 2
root = "$3"
state = "$4"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
  address = "$2"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$6"
  restrict_oom_score_adj = $restrict
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_bin_dir)"
    conf_dir = "$5"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
EOF
}

# import_images SOCKET ARCHIVE: into the namespace that the CRI plugin looks at
import_images() {
  ctr --address "$1" -n k8s.io images import "$2" >/dev/null
}
