# For set-up scripts, which source it: builds programs of others from pinned Go modules, once per content of the files that say how, into
# ${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-~/.cache}}/capstan/NAME/<hash>/. The link `current` beside it is where the tests look.
# The script has set BINARIES, the names of the programs; RECIPE, which it raises when its way of building changes; and defines
# build_into DIRECTORY.
# shellcheck shell=bash

say() { echo "set-up: $*" >&2; }
fail() { say "$*"; exit 1; }

has_all_binaries() {
  local name
  for name in "${BINARIES[@]}"; do [[ -x $1/$name ]] || return 1; done
}

# The files in the order given, and the machine.
hash_of() {
  local sum=(sha256sum)
  command -v sha256sum >/dev/null || sum=(shasum -a 256)
  {
    echo "recipe $RECIPE $(uname -s) $(uname -m)"
    cat "$@"
  } | "${sum[@]}" | cut -c1-16
}

# What to do without Go is the script's to say.
ensure_go() {
  command -v go >/dev/null || fail "Go is missing. ${BINARIES[*]} are built from pinned Go modules: install Go 1.26 or newer (https://go.dev/dl), or $1."
  local version major minor
  version=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
  IFS=. read -r major minor _ <<<"${version#go}"
  minor=${minor%%[^0-9]*}
  ((major > 1 || minor >= 26)) || fail "Go is $version at $(command -v go); 1.26 or newer is needed."
}

# build_once NAME INSTEAD FILE...: builds unless the cache has the programs of these files, and prints their directory. INSTEAD is what can be
# done without Go.
build_once() {
  local cache=${CAPSTAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/capstan/$1 instead=$2 hash target
  shift 2
  hash=$(hash_of "$@")
  target=$cache/$hash
  mkdir -p "$cache"
  if ! has_all_binaries "$target"; then
    ensure_go "$instead"
    exec 9>"$cache/lock"
    if command -v flock >/dev/null; then
      flock -n 9 || { say "another build is under way; waiting for it"; flock 9; }
    fi
    has_all_binaries "$target" || build_in_place "$target"
  fi
  # Renamed into place, so that a test that runs meanwhile never misses the link.
  if [[ $(readlink "$cache/current" 2>/dev/null) != "$hash" ]]; then
    ln -sfn "$hash" "$cache/current.$$"
    mv -fT "$cache/current.$$" "$cache/current" 2>/dev/null || { rm -f "$cache/current.$$"; ln -sfn "$hash" "$cache/current"; }
  fi
  echo "$target"
}

# What is half built has another name and goes away with the script.
build_in_place() {
  local target=$1
  fresh=$(mktemp -d "$(dirname "$target")/building.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  (build_into "$fresh") >&2
  has_all_binaries "$fresh" || fail "BUG: the build passed, but a program is missing in $fresh"
  chmod 755 "$fresh"
  rm -rf "$target"
  mv -T "$fresh" "$target" 2>/dev/null || mv "$fresh" "$target"
}
