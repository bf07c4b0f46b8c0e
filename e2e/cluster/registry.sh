#!/usr/bin/env bash
# Makes the CNCF distribution registry (an OCI registry) available to the tests and prints its directory as the last line.
# Takes what CAPSTAN_REGISTRY (a path) names; else builds from the Go module pinned in go/registry, once per content of its go.mod and
# go.sum, into ${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-~/.cache}}/capstan/registry/<hash>/. The link `current` beside it is where the tests
# look. Running it again costs nothing. A first build takes one to three minutes on two cores.
set -euo pipefail

# Part of the hash: raise it when the way of building changes.
RECIPE=1
BINARIES=(registry)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../build-once.sh
source "$HERE/../build-once.sh"

build_into() {
  local out=$1
  export CGO_ENABLED=0 GOFLAGS= GOWORK=off
  say "building the registry (once)"
  cd "$HERE/go/registry"
  go build -mod=readonly -trimpath -buildvcs=false -ldflags "-s -w" -o "$out/registry" github.com/distribution/distribution/v3/cmd/registry
}

if [[ -n ${CAPSTAN_REGISTRY:-} ]]; then
  [[ -x $CAPSTAN_REGISTRY ]] || fail "CAPSTAN_REGISTRY is $CAPSTAN_REGISTRY, which is no executable file"
  dirname "$CAPSTAN_REGISTRY"
  exit 0
fi

build_once registry "set CAPSTAN_REGISTRY to a built one" "$HERE"/go/registry/go.{mod,sum}
