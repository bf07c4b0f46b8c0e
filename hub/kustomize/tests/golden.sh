#!/usr/bin/env bash
# Makes the expectations of the cases in golden/ with the real kustomize, and says which of them changed. With --check nothing is written.
# usage: golden.sh [--check] [CASE...]
# KUSTOMIZE names the program; without it the one that the set-up of the differential test has built is taken.
set -euo pipefail
kustomize=${KUSTOMIZE:-$HOME/.cache/capstan/oracle/current/kustomize}
wanted=v5.8.1
cd "$(dirname "${BASH_SOURCE[0]}")/golden"
version=$("$kustomize" version)
[[ $version == "$wanted" ]] || { echo "$kustomize is $version; the cases are made with $wanted" >&2; exit 2; }
check=
[[ ${1:-} == --check ]] && { check=yes; shift; }
[[ $# -gt 0 ]] || set -- *
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
changed=0
for case in "$@"; do
    # A copy without the expectations beside it, at a path that error messages do not depend on.
    rm -rf "${scratch:?}/tree" && cp -a "$case/in" "$scratch/tree"
    flags=()
    [[ ! -e $case/flags ]] || read -ra flags <"$case/flags"
    rm -f "$scratch"/expected*
    if (cd "$scratch/tree" && HOME=$scratch "$kustomize" build "${flags[@]}" "$(<"$OLDPWD/$case/target")") \
        >"$scratch/expected.yaml" 2>"$scratch/errors"; then
        made=expected.yaml
    else
        made=expected-error.txt
        grep -v '^# Warning' "$scratch/errors" | sed -E "s#$scratch/tree#/case#g; s#0x[0-9a-f]{6,}#0x0#g" >"$scratch/$made"
    fi
    for name in expected.yaml expected-error.txt; do
        if [[ $name == "$made" ]]; then
            cmp -s "$scratch/$name" "$case/$name" && continue
            echo "$case: $name differs"
            diff -u "$case/$name" "$scratch/$name" 2>/dev/null | head -40 || true
            [[ -n $check ]] || cp "$scratch/$name" "$case/$name"
        else
            [[ -e $case/$name ]] || continue
            echo "$case: $name is left over: kustomize now gives $made"
            [[ -n $check ]] || rm "$case/$name"
        fi
        changed=$((changed + 1))
    done
done
echo "$# cases made with kustomize $version, $changed expectations differ"
[[ -z $check || $changed == 0 ]]
