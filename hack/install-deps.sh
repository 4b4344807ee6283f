#!/usr/bin/env bash
# Installs what building and running the cluster needs on Debian or Ubuntu, and only what is missing.
# Usage: hack/install-deps.sh [build|run|all]     (default: all)
set -euo pipefail

what=${1:-all}
case $what in build | run | all) ;; *)
  echo "usage: $0 [build|run|all]" >&2
  exit 2
  ;;
esac

# One line for each need: a file or command that shows it is there, then the package that brings it.
build_needs="cc=gcc g++=g++ make=make mold=mold protoc=protobuf-compiler /usr/include/google/protobuf/descriptor.proto=libprotobuf-dev"
run_needs="etcd=etcd-server|etcd containerd=containerd runc=runc /usr/lib/cni/ptp|/opt/cni/bin/ptp=containernetworking-plugins
  iptables=iptables nft=nftables conntrack=conntrack ip=iproute2 openssl=openssl curl=curl /bin/busybox=busybox-static nsenter|unshare=util-linux"

present() { # any of a|b|c, each a path or a command
  local one
  for one in ${1//|/ }; do
    case $one in /*) [ -e "$one" ] && return 0 ;; *) command -v "$one" >/dev/null 2>&1 && return 0 ;; esac
  done
  return 1
}

missing=()
collect() {
  local need
  for need in $1; do
    present "${need%%=*}" || missing+=("${need#*=}")
  done
}
[ "$what" = run ] || collect "$build_needs"
[ "$what" = build ] || collect "$run_needs"

if [ "$what" != run ] && ! command -v cargo >/dev/null 2>&1 && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
  echo "error: Rust 1.95 or newer is needed (cargo was not found). Install it with rustup: https://rustup.rs" >&2
  exit 1
fi

[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "error: missing ${missing[*]}, and this is no Debian or Ubuntu: install them with your package manager" >&2
  exit 1
fi
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
echo "Installing: ${missing[*]}"
$sudo apt-get update -qq
# A service must not start by being installed: the scripts start etcd and containerd themselves, as asked.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d >/dev/null
  $sudo chmod +x /usr/sbin/policy-rc.d
  trap '$sudo rm -f /usr/sbin/policy-rc.d' EXIT
fi
for package in "${missing[@]}"; do
  # Alternatives (a|b) name the same thing on different releases.
  installed=
  for one in ${package//|/ }; do
    if [ -z "$installed" ] && apt-cache show "$one" >/dev/null 2>&1; then
      DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$one" >/dev/null && installed=$one
    fi
  done
  [ -n "$installed" ] || {
    echo "error: could not install $package" >&2
    exit 1
  }
done
