#!/usr/bin/env bash
# Makes etcd, kube-apiserver, kube-controller-manager and kubectl available to the tests and prints their directory as the last line.
# Takes what TEST_ASSET_* or KUBEBUILDER_ASSETS name; else builds from the Go modules pinned in go/, once per content of
# their go.mod and go.sum, into ${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-~/.cache}}/capstan/control-plane/<hash>/. The link `current` beside it
# is where the tests look. Running it again costs nothing. A first build takes 6 to 10 minutes on two cores, 3 GiB of memory, 5 GB of disk.
set -euo pipefail

# Part of the hash: raise it when the way of building changes.
RECIPE=1
BINARIES=(etcd kube-apiserver kube-controller-manager kubectl)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { echo "set-up: $*" >&2; }
fail() { say "$*"; exit 1; }

ensure_git() {
  command -v git >/dev/null && return
  if [[ $(id -u) == 0 && -f /etc/debian_version ]] && command -v apt-get >/dev/null; then
    say "git is missing (the tests run a Git server); installing it with apt-get"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git; } >&2
  else
    fail "git is missing: the tests run a real Git server around it. Install git and run this again."
  fi
}

# Says where TEST_ASSET_<NAME> or KUBEBUILDER_ASSETS has a binary; fails if neither does.
named_by_environment() {
  local name=$1 variable
  variable=TEST_ASSET_$(tr 'a-z-' 'A-Z_' <<<"$name")
  if [[ -n ${!variable:-} ]]; then
    [[ -x ${!variable} ]] || fail "$variable is ${!variable}, which is no executable file"
    echo "${!variable}"
  elif [[ -n ${KUBEBUILDER_ASSETS:-} && -x $KUBEBUILDER_ASSETS/$name ]]; then
    echo "$KUBEBUILDER_ASSETS/$name"
  else
    return 1
  fi
}

has_all_binaries() {
  local name
  for name in "${BINARIES[@]}"; do [[ -x $1/$name ]] || return 1; done
}

hash_of_inputs() {
  local sum=(sha256sum)
  command -v sha256sum >/dev/null || sum=(shasum -a 256)
  {
    echo "recipe $RECIPE $(uname -s) $(uname -m)"
    cat "$HERE"/go/kubernetes/go.{mod,sum} "$HERE"/go/etcd/go.{mod,sum}
  } | "${sum[@]}" | cut -c1-16
}

ensure_go() {
  command -v go >/dev/null ||
    fail "Go is missing. The control plane for the tests is built from pinned Go modules: install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with ${BINARIES[*]}."
  local version major minor
  version=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
  IFS=. read -r major minor _ <<<"${version#go}"
  minor=${minor%%[^0-9]*}
  ((major > 1 || minor >= 26)) || fail "Go is $version at $(command -v go); 1.26 or newer is needed."
}

build_into() {
  local out=$1 kubernetes=k8s.io/kubernetes version major minor
  version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 }' "$HERE/go/kubernetes/go.mod")
  IFS=. read -r major minor _ <<<"${version#v}"
  local stamp=k8s.io/component-base/version
  export CGO_ENABLED=0 GOFLAGS= GOWORK=off
  say "building etcd"
  (cd "$HERE/go/etcd" && go build -mod=readonly -trimpath -ldflags "-s -w" -o "$out/etcd" go.etcd.io/etcd/server/v3)
  say "building kube-apiserver, kube-controller-manager, kubectl $version"
  (cd "$HERE/go/kubernetes" && go build -mod=readonly -trimpath -o "$out/" \
    -ldflags "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor" \
    "$kubernetes/cmd/kube-apiserver" "$kubernetes/cmd/kube-controller-manager" "$kubernetes/cmd/kubectl")
}

ensure_git

complete=true
for name in "${BINARIES[@]}"; do
  named_by_environment "$name" >/dev/null || complete=false
done
if $complete; then
  dirname "$(named_by_environment kube-apiserver)"
  exit 0
fi
[[ -z ${KUBEBUILDER_ASSETS:-} ]] || say "KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS) lacks some of ${BINARIES[*]}; those come from the cache"

cache=${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/capstan/control-plane
hash=$(hash_of_inputs)
target=$cache/$hash
mkdir -p "$cache"

if ! has_all_binaries "$target"; then
  ensure_go
  exec 9>"$cache/lock"
  if command -v flock >/dev/null; then
    flock -n 9 || { say "another build is under way; waiting for it"; flock 9; }
  fi
  if ! has_all_binaries "$target"; then
    fresh=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    say "building the control plane into $target (once; 6 to 10 minutes on two cores)"
    build_into "$fresh" >&2
    has_all_binaries "$fresh" || fail "BUG: the build passed, but a binary is missing in $fresh"
    chmod 755 "$fresh"
    rm -rf "$target"
    mv -T "$fresh" "$target" 2>/dev/null || mv "$fresh" "$target"
  fi
fi

# Renamed into place, so that a test that runs meanwhile never misses the link.
if [[ $(readlink "$cache/current" 2>/dev/null) != "$hash" ]]; then
  ln -sfn "$hash" "$cache/current.$$"
  mv -fT "$cache/current.$$" "$cache/current" 2>/dev/null || { rm -f "$cache/current.$$"; ln -sfn "$hash" "$cache/current"; }
fi
echo "$target"
