#!/bin/bash
# Runs each line of standard input twice against a living server: with the real kubectl in one namespace and with
# ours in another, and compares standard output, standard error and exit code. Names of the namespaces, uids,
# versions, times, ages and addresses are made equal first.
# usage: KUBECONFIG=... compare-live.sh REAL OURS [-v] < live.txt      (K stands for kubectl, $D for the test data)
REAL=$1 OURS=$2 VERBOSE=$3
D=$(cd "$(dirname "$0")" && pwd)/data
W=$(mktemp -d)
trap 'rm -rf "$W"' EXIT
export D NS
SALT=${SALT:-$RANDOM}
NSA=cmp-a$SALT NSB=cmp-b$SALT
"$REAL" create namespace "$NSA" >/dev/null && "$REAL" create namespace "$NSB" >/dev/null || exit 1

plain() {
    sed -E -e "s/cmp-[ab]$SALT/NAMESPACE/g" -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UID/g' \
        -e 's/resourceVersion: "[0-9]+"/resourceVersion: "N"/g' -e 's/"resourceVersion": ?"[0-9]+"/"resourceVersion":"N"/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g' -e 's/[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]+ [+-][0-9]{4}/TIME/g' \
        -e 's/\b([0-9]+[smhd])+( ago|$| )/AGE\2/g' -e 's/10\.0\.0\.[0-9]+/IP/g' -e 's/ from NAMESPACE namespace//' \
        -e 's/kubectl(1\.33|-create|)?[^ ]*-?(real|ours)/kubectl/g' -e '/^ *creationTimestamp: null$/d' -e 's/"creationTimestamp":null,?//' \
        -e 's/  +/  /g'
}

one() { # binary namespace name line
    local bin=$1 line=$4
    NS=$2
    K() { timeout "${LIMIT:-15}" "$bin" -n "$NS" "$@"; }
    eval "$line" >"$W/$3.out.raw" 2>"$W/$3.err.raw" </dev/null
    echo $? >"$W/$3.rc"
    plain <"$W/$3.out.raw" >"$W/$3.out"
    plain <"$W/$3.err.raw" >"$W/$3.err"
}

same=0 different=0
while IFS= read -r line; do
    [ -z "$line" ] || [ "${line:0:1}" = "#" ] && continue
    one "$REAL" "$NSA" real "$line"
    one "$OURS" "$NSB" ours "$line"
    if cmp -s "$W/real.out" "$W/ours.out" && cmp -s "$W/real.err" "$W/ours.err" && cmp -s "$W/real.rc" "$W/ours.rc"; then
        same=$((same + 1))
        [ "$VERBOSE" = -v ] && echo "same      $line"
    else
        different=$((different + 1))
        echo "DIFFERENT $line ($(cat "$W/real.rc") $(cat "$W/ours.rc"))"
        diff "$W/real.out" "$W/ours.out" | head -"${LINES_SHOWN:-10}"
        diff "$W/real.err" "$W/ours.err" | head -"${LINES_SHOWN:-10}"
    fi
done
"$REAL" delete namespace "$NSA" "$NSB" --wait=false >/dev/null
echo "$same same, $different different"
[ "$different" = 0 ]
