#!/usr/bin/env bash
# The test command: everything that must hold, on a fresh machine that has Rust and Go. It sets up what is missing (the control plane's
# programs, kustomize's, Helm's and a registry's, built once and cached; git and strace where apt-get can install them), then checks and tests. Takes any
# working directory.
#
#   CAPSTAN_CONFORMANCE   directory of conformance data; default ../shared/conformance beside the checkout, if it is there
#   KUBEBUILDER_ASSETS    directory with etcd, kube-apiserver, kube-controller-manager, kubectl; default: built by e2e/cluster/setup.sh
#   CAPSTAN_ORACLE_DIR    directory with kustomize and kustomize-oracle; default: built by e2e/oracle/setup.sh
#   CAPSTAN_HELM_ORACLE_DIR  directory with helm and helm-oracle; default: built by e2e/oracle/helm-setup.sh
#   CI                    if set: no incremental builds, no line tables in the test programs, no progress bars
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

running=set-up
trap 'status=$?; [[ $status == 0 ]] || echo "==> $running FAILED ($SECONDS s after the start)" >&2' EXIT

step() {
  local started=$SECONDS
  running=$1
  shift
  echo "==> $running: $*"
  "$@"
  echo "==> $running passed in $((SECONDS - started)) s"
}

# What the builds take (7.3 GB were measured in CI, the demo's among them), so that a full disk is named here and not by a linker after ten minutes.
ensure_room() {
  local target=${CARGO_TARGET_DIR:-target} needed=10 free
  mkdir -p "$target"
  [[ -d $target/debug/deps && -d $target/release/deps ]] && needed=3
  free=$(($(df --output=avail -k "$target" | tail -n 1) / 1024 / 1024))
  if ((free < needed)); then
    echo "$free GB are free where cargo builds ($target), and about $needed are needed: make room, or set CARGO_TARGET_DIR to a larger disk" >&2
    return 1
  fi
  echo "$free GB are free"
}

# hub/store proves with strace that what it acknowledges was synced. Without it, the crash test says that this one proof is skipped.
ensure_strace() {
  command -v strace >/dev/null && return
  if [[ $(id -u) == 0 && -f /etc/debian_version ]] && command -v apt-get >/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends strace
  elif [[ -n ${CI:-} ]]; then
    echo "strace is missing: install it, so that the proof that the store syncs what it acknowledges is not skipped" >&2
    return 1
  else
    echo "strace is missing: the proof that the store syncs what it acknowledges will be skipped"
  fi
}

ensure_control_plane() {
  local assets
  assets=$(e2e/cluster/setup.sh | tail -n 1)
  [[ -x $assets/kube-apiserver ]] || { echo "BUG: setup.sh named '$assets', which has no kube-apiserver" >&2; return 1; }
  export KUBEBUILDER_ASSETS=$assets
}

ensure_oracle() {
  local programs
  programs=$(e2e/oracle/setup.sh | tail -n 1)
  [[ -x $programs/kustomize-oracle ]] || { echo "BUG: setup.sh named '$programs', which has no kustomize-oracle" >&2; return 1; }
  export CAPSTAN_ORACLE_DIR=$programs
}

ensure_helm_oracle() {
  local programs
  programs=$(e2e/oracle/helm-setup.sh | tail -n 1)
  [[ -x $programs/helm-oracle ]] || { echo "BUG: helm-setup.sh named '$programs', which has no helm-oracle" >&2; return 1; }
  export CAPSTAN_HELM_ORACLE_DIR=$programs
}

ensure_registry() {
  e2e/cluster/registry.sh
}

# A hundred and thirty test programs of up to 190 MB fill a small disk; without line tables they are a third smaller and linked sooner. A panic
# names its file and line either way.
if [[ -n ${CI:-} ]]; then
  export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=none CARGO_TERM_PROGRESS_WHEN=never
fi
if [[ -z ${CAPSTAN_CONFORMANCE:-} && -d ../shared/conformance ]]; then
  CAPSTAN_CONFORMANCE=$(cd ../shared/conformance && pwd)
  export CAPSTAN_CONFORMANCE
fi
# A test that lacks its control plane, its registry, or kustomize or Helm to compare with, fails instead of being skipped.
export REQUIRE_CONTROL_PLANE=1 REQUIRE_ORACLE=1 REQUIRE_REGISTRY=1

step "room on the disk" ensure_room
step "strace" ensure_strace
step "control plane" ensure_control_plane
step "kustomize oracle" ensure_oracle
step "Helm oracle" ensure_helm_oracle
step "registry" ensure_registry
command -v git >/dev/null || { echo "git is missing: the tests run a real Git server around it. Install git." >&2; exit 1; }

step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "build" cargo build --workspace --locked
if cargo nextest --version >/dev/null 2>&1; then
  step "tests" cargo nextest run --workspace --locked
  # What nextest does not run: examples in documentation, and the crash test, which is its own harness.
  step "documentation's tests" cargo test --workspace --doc --locked
  step "crash test" cargo test --locked -p hub-store --test crash
else
  step "tests" cargo test --workspace --locked --no-fail-fast
fi
step "budgets" cargo test --release --locked -p hub-kustomize --test budgets
step "budgets of charts" cargo test --release --locked -p hub-helm --test hostile
step "fuzzing" e2e/fuzz/run.sh all 20
echo "==> all passed in $SECONDS s"
