#!/bin/bash
# run.sh: builds the Dockerfiles of testdata with wherry, as the test user, and with the real BuildKit, as root, and compares
# the images. BuildKit is built from the module that go.mod names and kept in ORACLE_CACHE. RUN=regexp selects.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=test/setup/lib.sh
. test/setup/lib.sh
go=${GO:-go}
: "${TAGS:=$(sed -n 's/^TAGS *:= //p' Makefile)}"
[ "$(id -u)" = 0 ] || { say "the comparison with BuildKit is skipped: it needs root"; exit 0; }

if [ -z "${ORACLE_DIR:-}" ]; then
  apt_need runc docker-registry
  source=$("$go" list -m -f '{{.Dir}}' github.com/moby/buildkit)
  cache=${ORACLE_CACHE:-/var/cache/wherry-oracle}/$(basename "$source")
  if [ ! -x "$cache/buildctl" ]; then
    say "building $(basename "$source")"
    mkdir -p "$cache"
    CGO_ENABLED=0 "$go" build -C "$source" -o "$cache/" ./cmd/buildkitd ./cmd/buildctl
  fi
  ORACLE_DIR=$(mktemp -d /var/tmp/wherry-oracle.XXXXXX)
  port=$((20000 + $$ % 10000))
  export ORACLE_DIR ORACLE_REGISTRY=127.0.0.1:$port ORACLE_BUILDCTL=$cache/buildctl ORACLE_ADDR=unix://$ORACLE_DIR/buildkitd.sock
  chmod 755 "$ORACLE_DIR"
  printf '[registry."%s"]\nhttp = true\n' "$ORACLE_REGISTRY" >"$ORACLE_DIR/buildkitd.toml"
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
  unshare --mount --propagation private "$cache/buildkitd" --config "$ORACLE_DIR/buildkitd.toml" --root "$ORACLE_DIR/root" --addr "$ORACLE_ADDR" \
    --oci-worker-snapshotter overlayfs --containerd-worker=false --allow-insecure-entitlement network.host --allow-insecure-entitlement security.insecure \
    >"$ORACLE_DIR/buildkitd.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 100); do
    "$ORACLE_BUILDCTL" --addr "$ORACLE_ADDR" debug workers >/dev/null 2>&1 && break
    sleep 0.1
  done
  chmod 666 "$ORACLE_DIR/buildkitd.sock" || { tail -3 "$ORACLE_DIR/buildkitd.log" >&2; exit 1; }
  status=0
  test/setup/enter.sh --as-root test/oracle/run.sh || status=$?
  exit $status
fi

export WHERRY_BIN=$PWD/bin
exec "$go" test -count=1 -timeout 20m -tags "$TAGS" ${RUN:+-run "$RUN"} ${VERBOSE:+-v} -exec "$PWD/test/setup/drop.sh" ./test/oracle
