#!/bin/bash
# find-go.sh [--install]: prints the path of a Go that can build this tree (go.mod names the version).
# Any Go from 1.21 on fetches the toolchain that go.mod asks for by itself; an older one is made to fetch it here.
# With --install a Go is installed by apt where there is none. What it does goes to standard error.
set -euo pipefail
cd "$(dirname "$0")/.."
want=$(awk '$1 == "go" {print $2; exit}' go.mod)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wherry/go$want

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]; } # A <= B
version() { GOTOOLCHAIN=local "$1" version 2>/dev/null | awk '{sub(/^go/, "", $3); print $3}'; }
candidates() {
  command -v go || true
  local d
  for d in /usr/local/go /usr/lib/go-*; do echo "$d/bin/go"; done
}

oldest=
pick() { # the first that fits by itself, else the first that can switch
  local c v able=
  while read -r c; do
    [ -x "$c" ] || continue
    v=$(version "$c")
    if at_least "$want" "$v"; then echo "$c"; return 0; fi
    if at_least 1.21 "$v"; then able=${able:-$c}; else oldest=${oldest:-$c}; fi
  done < <(candidates)
  [ -x "$cache/bin/go" ] && { echo "$cache/bin/go"; return 0; }
  [ -z "$able" ] || { echo "# $able is older than $want and fetches that version itself" >&2; echo "$able"; return 0; }
  return 1
}

# fetch OLD-GO: the toolchain is a module like any other; an old Go can download it, and checks its sum.
fetch() {
  local arch dir
  arch=$("$1" env GOARCH)
  echo "# fetching Go $want with $("$1" version | cut -d' ' -f3)" >&2
  dir=$(cd / && "$1" mod download -json "golang.org/toolchain@v0.0.1-go$want.linux-$arch" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  [ -d "$dir" ] || return 1
  mkdir -p "$(dirname "$cache")"
  cp -r "$dir" "$cache.part"
  chmod -R u+w "$cache.part"
  chmod +x "$cache.part"/bin/* "$cache.part"/pkg/tool/*/*
  mv "$cache.part" "$cache"
}

pick && exit 0
if [ "${1:-}" = --install ] && [ -z "$oldest" ]; then
  echo "# installing golang-go by apt" >&2
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get install -qq -y --no-install-recommends golang-go </dev/null >/dev/null 2>&1 ||
    { $sudo apt-get update -qq >&2 && $sudo apt-get install -qq -y --no-install-recommends golang-go </dev/null >&2; }
  hash -r
  pick && exit 0
fi
pick >/dev/null || true
if [ -n "$oldest" ] && fetch "$oldest"; then echo "$cache/bin/go"; exit 0; fi
echo "error: no Go for this tree: it needs $want. Unpack it from https://go.dev/dl to /usr/local/go, then try again." >&2
exit 1
