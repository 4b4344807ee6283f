#!/usr/bin/env bash
# Runs targets one after the other, each on its kept inputs and a corpus that grows in target/corpus.
# Usage: run.sh SECONDS [TARGET ...]      without targets: all of them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=$1
shift
./build.sh 2>/dev/null
bins="${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/release"
work="${CARGO_TARGET_DIR:-target}/fuzz"
if [ $# = 0 ]; then set -- $(cd fuzz_targets && ls *.rs | sed 's/\.rs$//'); fi
failed=0
for name in "$@"; do
  mkdir -p "$work/corpus/$name" "$work/artifacts/$name"
  echo "==> $name"
  # Bounded memory: no input of 64 KiB may need 512 MiB, nor one allocation 128; bounded time: five seconds.
  nice -n 10 "$bins/$name" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=512 -malloc_limit_mb=128 -timeout=5 \
    -print_final_stats=1 -artifact_prefix="$work/artifacts/$name/" "$work/corpus/$name" "regressions/$name" 2>&1 |
    tee "$work/$name.log" | grep -E '^(stat::number_of|stat::peak|SUMMARY|thread|artifact|==)|panicked|assert' || true
  grep -q '^SUMMARY' "$work/$name.log" && failed=1
done
exit $failed
