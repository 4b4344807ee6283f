# Docker with cri-dockerd as a container runtime of a cluster's own, for the end-to-end test. Sourced after runtime.sh, never run.
# dockerd, docker, cri-dockerd, containerd and runc must be in PATH. Docker 20.10 wants a cri-dockerd before v0.3.13.

# write_clamped_runtime FILE: runc behind a script that raises negative oom scores to 0. Where CAP_SYS_RESOURCE is missing
# they cannot be set, and Docker has no option that says so.
write_clamped_runtime() {
  cat >"$1" <<'END'
#!/usr/bin/env bash
# The bundle's folder follows --bundle or -b.
arguments=("$@")
for ((i = 0; i < $#; i++)); do
  case ${arguments[i]} in
    --bundle | -b) sed -i -E 's/"oomScoreAdj": *-[0-9]+/"oomScoreAdj":0/g' "${arguments[i + 1]}/config.json" ;;
  esac
done
exec runc "$@"
END
  chmod 0755 "$1"
}

# start_docker WORK ARCHIVE PAUSE-IMAGE: both daemons with everything below WORK/docker; sets CONTAINER_RUNTIME_ENDPOINT and
# DOCKER_HOST. `inside` enters the network namespace.
start_docker() {
  local home=$1/docker logs=$1/logs archive=$2 pause=$3 runtime=runc tries
  export DOCKER_HOST=unix://$home/docker.sock CONTAINER_RUNTIME_ENDPOINT=unix://$home/cri-dockerd.sock
  mkdir -p "$home"
  echo '{}' >"$home/daemon.json"
  lacks_sys_resource && runtime=clamped
  write_clamped_runtime "$home/runc-clamped"
  write_cni_config "$CNI_CONFIG_DIR"
  inside dockerd --config-file "$home/daemon.json" --host "$DOCKER_HOST" --data-root "$home/data" --exec-root "$home/run" \
    --pidfile "$home/docker.pid" --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
    --oom-score-adjust 0 --exec-opt native.cgroupdriver=cgroupfs --add-runtime "clamped=$home/runc-clamped" \
    --default-runtime "$runtime" >"$logs/dockerd.log" 2>&1 &
  for ((tries = 0; tries < 300; tries++)); do
    ! docker version >/dev/null 2>&1 || break
    sleep 0.2
  done
  docker load --input "$archive" >/dev/null
  inside cri-dockerd --docker-endpoint "$DOCKER_HOST" --container-runtime-endpoint "$CONTAINER_RUNTIME_ENDPOINT" \
    --cri-dockerd-root-directory "$home/cri" --network-plugin cni --cni-conf-dir "$CNI_CONFIG_DIR" --cni-bin-dir "$(cni_bin_dir)" \
    --cni-cache-dir "$home/cni-cache" --pod-infra-container-image "$pause" --streaming-bind-addr 127.0.0.1:0 \
    >"$logs/cri-dockerd.log" 2>&1 &
  for ((tries = 0; tries < 300; tries++)); do
    ! [ -S "${CONTAINER_RUNTIME_ENDPOINT#unix://}" ] || return 0
    sleep 0.2
  done
  tail -n 20 "$logs/dockerd.log" "$logs/cri-dockerd.log" >&2
  return 1
}
