#!/usr/bin/env bash
# Builds the images that a cluster needs where no registry is reached, as one archive that containerd and Docker read.
#   k8s.local/pause:1.36   cluster/images/pause/pause.rs, a static binary
#   k8s.local/web:1.36     Debian's static busybox and cluster/images/web/web: a shell and a web server
# Usage: cluster/images/build.sh [ARCHIVE]      (default: _output/images.tar)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
archive=${1:-_output/images.tar}
mkdir -p "$(dirname "$archive")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rustc --edition 2024 -O -C target-feature=+crt-static -C panic=abort -C strip=symbols \
  -o "$work/pause-bin" cluster/images/pause/pause.rs
busybox=$(command -v busybox)

# add_image NAME ROOTFS ENTRYPOINT: appends to $work/archive; both manifests (OCI's and Docker's) name the same blobs
blobs=$work/archive/blobs/sha256
mkdir -p "$blobs"
oci="" docker=""
digest_of() { sha256sum "$1" | cut -d' ' -f1; }
add_image() {
  local name=$1 rootfs=$2 entrypoint=$3 layer config manifest
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$rootfs" -cf "$work/layer.tar" .
  layer=$(digest_of "$work/layer.tar")
  mv "$work/layer.tar" "$blobs/$layer"
  cat >"$work/config" <<EOF
{"created":"1970-01-01T00:00:00Z","architecture":"$(dpkg --print-architecture 2>/dev/null || echo amd64)","os":"linux","config":{"Env":["PATH=/bin"],"Entrypoint":["$entrypoint"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"cluster/images/build.sh"}]}
EOF
  config=$(digest_of "$work/config")
  cp "$work/config" "$blobs/$config"
  cat >"$work/manifest" <<EOF
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$(stat -c %s "$work/config")},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:$layer","size":$(stat -c %s "$blobs/$layer")}]}
EOF
  manifest=$(digest_of "$work/manifest")
  cp "$work/manifest" "$blobs/$manifest"
  oci+="${oci:+,}{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:$manifest\",\"size\":$(stat -c %s "$work/manifest"),\"annotations\":{\"io.containerd.image.name\":\"$name\",\"org.opencontainers.image.ref.name\":\"${name##*:}\"}}"
  docker+="${docker:+,}{\"Config\":\"blobs/sha256/$config\",\"RepoTags\":[\"$name\"],\"Layers\":[\"blobs/sha256/$layer\"]}"
}

mkdir -p "$work/pause"
install -m 0755 "$work/pause-bin" "$work/pause/pause"
add_image k8s.local/pause:1.36 "$work/pause" /pause

mkdir -p "$work"/web/{bin,tmp,etc,root,www,proc,sys,dev}
install -m 0755 "$busybox" "$work/web/bin/busybox"
for applet in $("$busybox" --list); do
  [ "$applet" = busybox ] || ln -s busybox "$work/web/bin/$applet"
done
install -m 0755 cluster/images/web/web "$work/web/bin/web"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$work/web/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$work/web/etc/group"
chmod 1777 "$work/web/tmp"
add_image k8s.local/web:1.36 "$work/web" /bin/web

echo '{"imageLayoutVersion":"1.0.0"}' >"$work/archive/oci-layout"
echo "{\"schemaVersion\":2,\"manifests\":[$oci]}" >"$work/archive/index.json"
# Docker's list is read by `docker load`; containerd takes the OCI index when both are there.
echo "[$docker]" >"$work/archive/manifest.json"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/archive" -cf "$archive" .
echo "$archive"
