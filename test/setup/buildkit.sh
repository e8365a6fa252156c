# The real BuildKit, to compare with; sourced after lib.sh.
# shellcheck shell=bash

# buildkit_build: builds it from the module that go.mod names, once, into ORACLE_CACHE. Sets BUILDKIT_BIN.
buildkit_build() {
  local source go=${GO:-go}
  source=$("$go" list -m -f '{{.Dir}}' github.com/moby/buildkit)
  BUILDKIT_BIN=${ORACLE_CACHE:-/var/cache/wherry-oracle}/$(basename "$source")
  [ ! -x "$BUILDKIT_BIN/buildctl" ] || return 0
  say "building $(basename "$source")"
  mkdir -p "$BUILDKIT_BIN"
  CGO_ENABLED=0 "$go" build -C "$source" -o "$BUILDKIT_BIN/" ./cmd/buildkitd ./cmd/buildctl
}

# buildkit_start DIR [REGISTRY]: starts it as root with everything in DIR, for all users; REGISTRY is one without TLS. Sets
# BUILDKIT_PID and exports BUILDKIT_ADDR and BUILDCTL.
buildkit_start() {
  local dir=$1
  : >"$dir/buildkitd.toml"
  [ -z "${2:-}" ] || printf '[registry."%s"]\nhttp = true\n' "$2" >"$dir/buildkitd.toml"
  export BUILDKIT_ADDR=unix://$dir/buildkitd.sock BUILDCTL=$BUILDKIT_BIN/buildctl
  unshare --mount --propagation private "$BUILDKIT_BIN/buildkitd" --config "$dir/buildkitd.toml" --root "$dir/buildkit" --addr "$BUILDKIT_ADDR" \
    --oci-worker-snapshotter overlayfs --containerd-worker=false >"$dir/buildkitd.log" 2>&1 &
  # shellcheck disable=SC2034 # for those that source this
  BUILDKIT_PID=$!
  local try
  for ((try = 0; try < 100; try++)); do
    if "$BUILDCTL" --addr "$BUILDKIT_ADDR" debug workers >/dev/null 2>&1; then
      chmod 666 "$dir/buildkitd.sock"
      return 0
    fi
    sleep 0.1
  done
  tail -3 "$dir/buildkitd.log" >&2
  return 1
}
