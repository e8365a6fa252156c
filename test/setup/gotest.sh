#!/bin/bash
# gotest.sh all|unit|system|root: the Go tests. Started by root they run as the test user (see enter.sh): built by root,
# whose caches are warm, and executed through drop.sh; then those that want root run once more as root.
# RUN=regexp and PKG=packages narrow it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=test/setup/lib.sh
. "$here/lib.sh"
what=${1:-all}
go=${GO:-go}
: "${TAGS:=$(sed -n 's/^TAGS *:= //p' Makefile)}"
export CGO_ENABLED=0 TAGS WHERRY_BIN=$PWD/bin WHERRY_FAULT_BIN=$PWD/bin/fault

if [ "$(id -u)" = 0 ] && [ -z "${WHERRY_TEST_USER:-}" ]; then
  exec "$here/enter.sh" --as-root test/setup/gotest.sh "$what"
fi
if [ "$(id -u)" != 0 ] && [ -z "${WHERRY_SCOPED:-}" ]; then
  export WHERRY_SCOPED=1
  exec "$here/enter.sh" "$0" "$what"
fi

as_user=()
[ "$(id -u)" != 0 ] || as_user=(-exec "$here/drop.sh")

packages() { # unit: everything but the checks of the tree and the scenarios
  case $1 in
    unit) "$go" list -tags "$TAGS" ./... | grep -Ev '/test/(arch|source|system|cli|deps)(/|$)' ;;
    system) "$go" list -tags "$TAGS" ./test/... 2>/dev/null | grep -E '/test/(system|cli)(/|$)' || true ;;
    root) grep -rl --include='*_test.go' WHERRY_TEST_ROOT . | xargs -r -n1 dirname | sort -u ;;
  esac
}

root_scenarios() { # their names as a regular expression
  grep -l WHERRY_TEST_ROOT test/system/*_test.go | xargs sed -n 's/^func \(Test[A-Za-z0-9]*\)(t .*/\1/p' | paste -sd'|' | sed 's/.*/^(&)$/'
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
run() { # NAME TIMEOUT ARGS...: the packages come on standard input
  local name=$1 timeout=$2 list=()
  shift 2
  mapfile -t list
  [ ${#list[@]} -gt 0 ] || { say "$name tests: none in this tree"; return 0; }
  if [ -n "${PKG:-}" ]; then read -ra list <<<"$PKG"; fi
  say "$name tests: ${#list[@]} packages"
  "$go" test -count=1 -timeout "$timeout" -tags "$TAGS" ${RUN:+-run "$RUN"} ${VERBOSE:+-v} "$@" "${list[@]}" 2>&1 |
    grep -v 'no test files' | tee -a "$log" || failed=1
}

if [ "$what" = all ] || [ "$what" = unit ]; then run unit 10m "${as_user[@]}" < <(packages unit); fi
if [ "$what" = all ] || [ "$what" = system ]; then run system 25m "${as_user[@]}" < <(packages system); fi
# The image commands are killed at each of their own steps in process: that wants the fault points built in.
if [ "$what" = all ] && [ -z "${RUN:-}${PKG:-}" ]; then
  TAGS="$TAGS faultpoint" RUN=TestKilledAtEachStep run fault 10m "${as_user[@]}" <<<./pkg/image
fi
if [ "$what" = all ] || [ "$what" = root ]; then
  if [ "$(id -u)" = 0 ]; then
    # Of the scenarios only those of files that ask for root.
    export WHERRY_TEST_ROOT=1
    run root 10m < <(packages root | grep -v '^\./test/system$')
    RUN=${RUN:-$(root_scenarios)} run 'root scenario' 15m <<<./test/system
  else
    say "root tests: skipped, not root"
  fi
fi

ok=$(grep -c '^ok ' "$log" || true) bad=$(grep -c '^FAIL.*[[:space:]]' "$log" || true)
say "packages: $ok ok, $bad failed"
[ "$failed" = 0 ] && [ "$bad" = 0 ] || { printf 'FAIL\n'; exit 1; }
printf 'PASS\n'
