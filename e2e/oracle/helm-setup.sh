#!/usr/bin/env bash
# Makes helm and helm-oracle available to the tests and the benchmark and prints their directory as the last line.
# Takes what CAPSTAN_HELM_ORACLE_DIR (a directory with both) names; else builds from the Go module in helm-go/, once per content of its files,
# into ${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-~/.cache}}/capstan/helm-oracle/<hash>/. The link `current` beside it is where the tests look.
# Running it again costs nothing. A first build takes some minutes on two cores.
set -euo pipefail

# Part of the hash: raise it when the way of building changes.
RECIPE=1
BINARIES=(helm helm-oracle)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../build-once.sh
source "$HERE/../build-once.sh"

build_into() {
  local out=$1 version
  version=$(awk '$1 == "require" && $2 == "helm.sh/helm/v4" { print $3 } $1 == "helm.sh/helm/v4" { print $2 }' "$HERE/helm-go/go.mod")
  [[ -n $version ]] || fail "BUG: go.mod names no version of Helm"
  export CGO_ENABLED=0 GOFLAGS= GOWORK=off
  # The version that a release is stamped with, which `.Capabilities.HelmVersion` gives to templates.
  local stamp=(-ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version")
  cd "$HERE/helm-go"
  say "building helm $version and its oracle"
  go build -mod=readonly -trimpath -buildvcs=false "${stamp[@]}" -o "$out/helm" helm.sh/helm/v4/cmd/helm
  go build -mod=readonly -trimpath -buildvcs=false "${stamp[@]}" -o "$out/helm-oracle" .
}

if [[ -n ${CAPSTAN_HELM_ORACLE_DIR:-} ]]; then
  has_all_binaries "$CAPSTAN_HELM_ORACLE_DIR" || fail "CAPSTAN_HELM_ORACLE_DIR ($CAPSTAN_HELM_ORACLE_DIR) lacks some of ${BINARIES[*]}"
  echo "$CAPSTAN_HELM_ORACLE_DIR"
  exit 0
fi

build_once helm-oracle "set CAPSTAN_HELM_ORACLE_DIR to a directory with built programs" "$HERE"/helm-go/go.{mod,sum} "$HERE"/helm-go/*.go
