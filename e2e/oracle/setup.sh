#!/usr/bin/env bash
# Makes kustomize and kustomize-oracle available to the tests and the benchmark and prints their directory as the last line.
# Takes what KUSTOMIZE and CAPSTAN_ORACLE (paths of the two programs) or CAPSTAN_ORACLE_DIR (a directory with both) name; else builds from
# the Go module in go/, once per content of its files, into ${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-~/.cache}}/capstan/oracle/<hash>/.
# The link `current` beside it is where the tests look. Running it again costs nothing. A first build takes about a minute on two cores.
set -euo pipefail

# Part of the hash: raise it when the way of building changes.
RECIPE=1
BINARIES=(kustomize kustomize-oracle)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../build-once.sh
source "$HERE/../build-once.sh"

build_into() {
  local out=$1 version
  version=$(awk '$1 == "sigs.k8s.io/kustomize/kustomize/v5" { print $2 }' "$HERE/go/go.mod")
  [[ -n $version ]] || fail "BUG: go.mod names no version of kustomize"
  export CGO_ENABLED=0 GOFLAGS= GOWORK=off
  # The version that a release is stamped with, which `buildMetadata: [managedByLabel]` prints.
  local stamp=(-ldflags "-s -w -X sigs.k8s.io/kustomize/api/provenance.version=$version")
  cd "$HERE/go"
  say "building kustomize $version and the oracle"
  go build -mod=readonly -trimpath -buildvcs=false "${stamp[@]}" -o "$out/kustomize" sigs.k8s.io/kustomize/kustomize/v5
  go build -mod=readonly -trimpath -buildvcs=false "${stamp[@]}" -o "$out/kustomize-oracle" .
}

if [[ -n ${KUSTOMIZE:-} || -n ${CAPSTAN_ORACLE:-} ]]; then
  [[ -z ${KUSTOMIZE:-} || -x $KUSTOMIZE ]] || fail "KUSTOMIZE is $KUSTOMIZE, which is no executable file"
  [[ -z ${CAPSTAN_ORACLE:-} || -x $CAPSTAN_ORACLE ]] || fail "CAPSTAN_ORACLE is $CAPSTAN_ORACLE, which is no executable file"
  if [[ -n ${KUSTOMIZE:-} && -n ${CAPSTAN_ORACLE:-} ]]; then
    dirname "$CAPSTAN_ORACLE"
    exit 0
  fi
fi
if [[ -n ${CAPSTAN_ORACLE_DIR:-} ]]; then
  has_all_binaries "$CAPSTAN_ORACLE_DIR" || fail "CAPSTAN_ORACLE_DIR ($CAPSTAN_ORACLE_DIR) lacks some of ${BINARIES[*]}"
  echo "$CAPSTAN_ORACLE_DIR"
  exit 0
fi

build_once oracle "set KUSTOMIZE and CAPSTAN_ORACLE to built programs" "$HERE"/go/go.{mod,sum} "$HERE"/go/*.go
