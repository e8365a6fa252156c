#!/bin/bash
# gofmt, go vet with our tags for a 64-bit and a 32-bit machine, shellcheck and the generated docs.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
go=${GO:-go}
: "${TAGS:=$(sed -n 's/^TAGS *:= //p' Makefile)}"
bad=0
step() { # NAME COMMAND...
  local name=$1 out
  shift
  if out=$("$@" 2>&1); then printf 'ok    %s\n' "$name"; else printf 'FAIL  %s\n%s\n' "$name" "$out"; bad=1; fi
}
unformatted() {
  local list
  list=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r "$("$go" env GOROOT)/bin/gofmt" -l)
  [ -z "$list" ] || { printf 'gofmt -w these:\n%s\n' "$list"; return 1; }
}
vet() { GOARCH=$1 "$go" vet -tags "$TAGS $2" ./...; }
scripts() {
  git ls-files -z --cached --others --exclude-standard '*.sh' .ci/run | xargs -0 -r shellcheck -x -S warning
}
step gofmt unformatted
step 'go vet (amd64)' vet amd64 ''
step 'go vet (amd64, faultpoint)' vet amd64 faultpoint
step 'go vet (arm)' vet arm ''
if command -v shellcheck >/dev/null; then step shellcheck scripts; else echo 'skip  shellcheck: not installed (apt install shellcheck)'; fi
# A pinned tool, built once by go itself; without a network it is left out.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.6.1
if "$go" run $staticcheck -version >/dev/null 2>&1; then
  step staticcheck "$go" run $staticcheck -tags "${TAGS// /,}" ./...
else
  echo 'skip  staticcheck: cannot be fetched'
fi
if [ -x bin/wherry ] && [ -d docs/man ]; then step 'generated docs are fresh' test/setup/docs-check.sh; fi
exit $bad
