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
# shellcheck source=../build-once.sh
source "$HERE/../build-once.sh"

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

build_into() {
  local out=$1 kubernetes=k8s.io/kubernetes version major minor
  version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 }' "$HERE/go/kubernetes/go.mod")
  IFS=. read -r major minor _ <<<"${version#v}"
  local stamp=k8s.io/component-base/version
  export CGO_ENABLED=0 GOFLAGS= GOWORK=off
  say "building the control plane (once; 6 to 10 minutes on two cores)"
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

build_once control-plane "set KUBEBUILDER_ASSETS to a directory with ${BINARIES[*]}" \
  "$HERE"/go/kubernetes/go.{mod,sum} "$HERE"/go/etcd/go.{mod,sum}
