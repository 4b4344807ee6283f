#!/usr/bin/env bash
# The whole test suite: lints, unit tests, integration tests with real daemons and a real etcd, and the end-to-end test
# with real containers. Installs what is missing. What a machine cannot run is skipped, and said at the end.
# Usage: hack/test.sh [fast]      fast: formatting, lints and unit tests only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:$HOME/.cargo/bin"
skipped=()
step() { printf '\n==> %s\n' "$*"; }

step "dependencies"
if [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1; then
  hack/install-deps.sh all
else
  hack/install-deps.sh all || skipped+=("installing packages: neither root nor sudo")
fi

if cargo fmt --version >/dev/null 2>&1; then
  step "formatting"
  cargo fmt --all --check
else
  skipped+=("formatting: rustfmt is not installed")
fi

step "build"
cargo build --workspace --all-targets --locked

if cargo clippy --version >/dev/null 2>&1; then
  step "lints"
  cargo clippy --workspace --all-targets --locked -- -D warnings
else
  skipped+=("lints: clippy is not installed")
fi

step "dependency rules"
if cargo tree --locked -e normal -i ring 2>/dev/null | grep -q .; then
  echo "error: ring is in the dependency tree (see deny.toml)" >&2
  exit 1
fi
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --log-level error check licenses bans sources
else
  skipped+=("licences: cargo-deny is not installed")
fi

# `cargo test` and nextest run the same tests; nextest runs each in its own process, which the daemons' tests want.
run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --no-fail-fast "$@"; else cargo test --locked "$@"; fi
}
step "unit tests"
run_tests --workspace --exclude tests

if [ "${1:-}" != fast ]; then
  step "integration tests"
  command -v etcd >/dev/null 2>&1 || skipped+=("integration tests: etcd is not installed")
  run_tests --package tests
  step "end-to-end test"
  if [ "$(id -u)" != 0 ]; then
    skipped+=("end-to-end test: not root")
  elif ! ip netns add kube-e2e-probe 2>/dev/null; then
    skipped+=("end-to-end test: no network namespaces here")
  else
    ip netns delete kube-e2e-probe
    hack/e2e.sh -o "${CARGO_TARGET_DIR:-target}/debug"
  fi
  step "differential replay"
  if [ -d "${KUBE_GOLDEN:-../shared/golden}" ]; then
    # The areas that want CEL wait for it most of the time, and are left to a run by hand.
    hack/replay.sh bootstrap discovery defaulting validation negotiation subresources auth resources
  else
    skipped+=("differential replay: no recorded behaviour (../shared/golden)")
  fi
fi

echo
if [ ${#skipped[@]} -gt 0 ]; then
  echo "Skipped:"
  printf '  %s\n' "${skipped[@]}"
fi
echo "All tests passed."
