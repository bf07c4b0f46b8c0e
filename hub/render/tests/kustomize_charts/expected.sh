#!/usr/bin/env bash
# Makes expected.yaml of each case with kustomize 5.8.1 and Helm 4.2.4, which KUSTOMIZE and HELM name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for case in */; do
  dir=$case/in
  [[ -d $dir/overlay ]] && dir=$dir/overlay
  "$KUSTOMIZE" build --enable-helm --helm-command "$HELM" "$dir" >"$case/expected.yaml"
done
