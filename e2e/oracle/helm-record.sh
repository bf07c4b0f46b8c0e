#!/usr/bin/env bash
# Records what the real Helm says to the cases and charts in hub/helm/tests, and says what changed; with --check nothing is written, and a
# change is a failure. The programs are those of helm-setup.sh.
# usage: helm-record.sh [--check] [cases|charts]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=${CAPSTAN_HELM_ORACLE_DIR:-$("$here/helm-setup.sh" | tail -n 1)}
tests=$here/../../hub/helm/tests
check=()
[[ ${1:-} == --check ]] && { check=(--check); shift; }
what=${1:-all}

record_cases() {
  "$programs/helm-oracle" cases "${check[@]}" "$tests"/cases/*.txt
}

# A chart's folder holds the chart, and folders with one set of values each: the arguments of `helm template` beside the names in `arguments`
# (one a line), and what came of it.
record_charts() {
  local changed=0 count=0 folder set made name
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  for folder in "$tests"/charts/*/; do
    for set in "$folder"sets/*/; do
      count=$((count + 1))
      local arguments=()
      [[ ! -e $set/arguments ]] || mapfile -t arguments <"$set/arguments"
      rm -f "$scratch"/expected*
      if (cd "$set" && HOME=$scratch TZ=UTC "$programs/helm" template demo "$folder/chart" --namespace apps "${arguments[@]}") \
        >"$scratch/expected.yaml" 2>"$scratch/errors"; then
        made=expected.yaml
      else
        made=expected-error.txt
        # Without what Helm logs, and without the place of the chart.
        sed -E -e '/^level=/d' -e '/^$/d' -e '/^Use --debug flag/d' -e 's/^Error: //' -e "s#$folder##g" "$scratch/errors" >"$scratch/$made"
      fi
      for name in expected.yaml expected-error.txt; do
        if [[ $name == "$made" ]]; then
          cmp -s "$scratch/$name" "$set/$name" && continue
          echo "$set$name differs"
          diff -u "$set/$name" "$scratch/$name" 2>/dev/null | head -40 || true
          [[ ${#check[@]} -gt 0 ]] || cp "$scratch/$name" "$set/$name"
        else
          [[ -e $set/$name ]] || continue
          echo "$set$name is left over: Helm now gives $made"
          [[ ${#check[@]} -gt 0 ]] || rm "$set/$name"
        fi
        changed=$((changed + 1))
      done
    done
  done
  echo "$count renders of charts, $changed expectations differ"
  [[ ${#check[@]} == 0 || $changed == 0 ]]
}

[[ $what == charts ]] || record_cases
[[ $what == cases ]] || record_charts
