#!/bin/bash
# run.sh: builds the Dockerfiles of testdata with wherry, as the test user, and with the real BuildKit, as root, and compares
# the images. BuildKit is built from the module that go.mod names and kept in ORACLE_CACHE. RUN=regexp selects.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=test/setup/lib.sh
. test/setup/lib.sh
# shellcheck source=test/setup/buildkit.sh
. test/setup/buildkit.sh
go=${GO:-go}
: "${TAGS:=$(sed -n 's/^TAGS *:= //p' Makefile)}"
[ "$(id -u)" = 0 ] || { say "the comparison with BuildKit is skipped: it needs root"; exit 0; }

if [ -z "${ORACLE_DIR:-}" ]; then
  apt_need runc docker-registry
  buildkit_build
  ORACLE_DIR=$(mktemp -d /var/tmp/wherry-oracle.XXXXXX)
  port=$((20000 + $$ % 10000))
  export ORACLE_DIR ORACLE_REGISTRY=127.0.0.1:$port
  chmod 755 "$ORACLE_DIR"
  printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s"}\n' "$ORACLE_DIR/registry" "$ORACLE_REGISTRY" >"$ORACLE_DIR/registry.yml"
  pids=()
  # shellcheck disable=SC2317 # called by the trap
  undo() {
    [ ${#pids[@]} = 0 ] || { kill "${pids[@]}" && wait "${pids[@]}"; } 2>/dev/null || true
    rm -rf "$ORACLE_DIR"
  }
  trap undo EXIT
  OTEL_TRACES_EXPORTER=none docker-registry serve "$ORACLE_DIR/registry.yml" >"$ORACLE_DIR/registry.log" 2>&1 &
  pids+=($!)
  buildkit_start "$ORACLE_DIR" "$ORACLE_REGISTRY" || exit 1
  pids+=("$BUILDKIT_PID")
  status=0
  test/setup/enter.sh --as-root test/oracle/run.sh || status=$?
  exit $status
fi

export WHERRY_BIN=$PWD/bin
exec "$go" test -count=1 -timeout 20m -tags "$TAGS" ${RUN:+-run "$RUN"} ${VERBOSE:+-v} -exec "$PWD/test/setup/drop.sh" ./test/oracle
