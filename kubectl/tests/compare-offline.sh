#!/bin/bash
# Runs the same commands, none of which needs a server, with a real kubectl and with ours, and shows the differences.
# Usage: compare-offline.sh REAL OURS [-v]
# Known version differences are removed first: creationTimestamp: null, which 1.34 and later leave out, and empty preferences.
REAL=$1 OURS=$2 VERBOSE=$3
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export HOME=$WORK/home KUBECONFIG=
mkdir -p "$WORK/home.real" "$WORK/home.ours" "$WORK/dir"
printf 'a=1\n# c\nb=two\n' >"$WORK/env"
printf 'hello\nworld\n' >"$WORK/dir/file.txt"
printf 'x: 1\n' >"$WORK/dir/b.yaml"
printf '\377\376bin' >"$WORK/bin"
cd "$WORK" || exit 1
same=0 different=0
normalize() { sed -e '/^ *creationTimestamp: null$/d' -e '/^ *"creationTimestamp": null,\{0,1\}$/d' -e 's/"creationTimestamp":null,//' -e '/^preferences: {}$/d' -e '/^ *"preferences": {},$/d' -e 's#/[^ ]*kubectl[^ /]*:#kubectl:#'; }
while IFS= read -r line; do
    [ -z "$line" ] || [ "${line:0:1}" = "#" ] && continue
    ln -sfn "$WORK/home.real" "$HOME"
    eval "timeout 10 \"$REAL\" $line" >r.out 2>r.err </dev/null; rc1=$?
    ln -sfn "$WORK/home.ours" "$HOME"
    eval "timeout 10 \"$OURS\" $line" >o.out 2>o.err </dev/null; rc2=$?
    for f in r.out r.err o.out o.err; do normalize <$f >$f.n; done
    if [ $rc1 = $rc2 ] && cmp -s r.out.n o.out.n && cmp -s r.err.n o.err.n; then
        same=$((same + 1))
    else
        different=$((different + 1))
        echo "=== kubectl $line   (exit codes: $rc1 $rc2)"
        if [ -n "$VERBOSE" ]; then diff r.out.n o.out.n | head -30; diff r.err.n o.err.n | head -12; fi
    fi
done
echo "identical: $same, different: $different"
