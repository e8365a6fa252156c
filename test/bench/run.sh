#!/bin/bash
# Set-up of `make bench`: installs the peers (as root), makes a scratch place for the test user and runs the program.
# BENCH=run,ps selects rows; N=15 rounds; podman 5 takes part where ../shared/vmtest has its root ready.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=test/setup/lib.sh
. test/setup/lib.sh
go=${GO:-go}
: "${TAGS:=$(sed -n 's/^TAGS *:= //p' Makefile)}"

# own_disk NAME: a file system of its own for the home of a peer, as it would be on a machine that has only this one.
own_disk() {
  local disk=$BENCH_DIR/$1.img
  truncate -s 12G "$disk"
  if ! mkfs.ext4 -q -F "$disk" || ! mount -o loop "$disk" "$BENCH_DIR/home-$1"; then
    rm -f "$disk"
    echo "# no file system of its own for $1"
  fi
}
drop_disks() {
  local home
  for home in "$BENCH_DIR"/home-*; do
    if mountpoint -q "$home"; then umount -l "$home"; fi
  done
}

if [ -z "${BENCH_DIR:-}" ]; then
  [ "$(id -u)" != 0 ] || apt_want "${BENCH_PACKAGES[@]}"
  base=/var/tmp
  BENCH_DIR=$(mktemp -d $base/wherry-bench.XXXXXX)
  export BENCH_DIR
  CGO_ENABLED=0 "$go" build -trimpath -buildvcs=false -tags "$TAGS" -o "$BENCH_DIR/bench" ./test/bench # it goes into containers, too
  test/setup/image.sh busybox "$BENCH_DIR/busybox.tar"
  printf '[containers]\nlog_driver = "k8s-file"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >"$BENCH_DIR/containers.conf"
  mkdir -p "$BENCH_DIR"/{home-wherry,home-podman,tiny,registry}
  if [ "$(id -u)" = 0 ]; then own_disk wherry; own_disk podman; fi
  mkdir -p "$BENCH_DIR/home-wherry/bundle/rootfs"
  ( cd "$BENCH_DIR/tiny" && for i in $(seq 0 $((${BENCH_IMAGES:-999} - 1))); do echo "$i" >number; tar cf "$i.tar" number; done )
  chmod -R a+rX "$BENCH_DIR"
  status=0
  trap 'drop_disks; [ -z "${BUILDKIT_PID:-}" ] || kill "$BUILDKIT_PID"' EXIT
  if [ "$(id -u)" = 0 ]; then
    # shellcheck source=test/setup/buildkit.sh
    . test/setup/buildkit.sh
    mkdir -p "$BENCH_DIR/oracle"
    if ! apt_need runc || ! buildkit_build || ! buildkit_start "$BENCH_DIR/oracle"; then say "going on without BuildKit"; fi
  fi
  if [ "$(id -u)" = 0 ]; then
    test/setup/enter.sh --as-root test/bench/run.sh || status=$?
  else
    test/setup/enter.sh test/bench/run.sh || status=$?
  fi
  drop_disks
  if [ -n "${BUILDKIT_PID:-}" ]; then
    kill "$BUILDKIT_PID"
    wait "$BUILDKIT_PID" || true
    BUILDKIT_PID=
  fi
  chmod -R u+rwX "$BENCH_DIR" 2>/dev/null || true
  rm -rf "$BENCH_DIR" 2>/dev/null || bin/wherry unshare rm -rf "$BENCH_DIR"
  exit $status
fi

flags=(-dir "$BENCH_DIR" -tree "$PWD" -n "${N:-15}" -rows "${BENCH:-}" -images "${BENCH_IMAGES:-999}" -write)
stop5=
if [ "$(id -u)" = 0 ]; then
  find "$BENCH_DIR" -path "$BENCH_DIR/oracle" -prune -o -exec chown -h "$WHERRY_TEST_USER" {} +
  flags+=(-drop "$PWD/test/setup/drop.sh")
  cache=${VMTEST_CACHE:-/var/cache/vmtest} five=../shared/vmtest/podman5.sh
  if [ -x $five ] && [ -x "$cache/rootfs/usr/bin/podman" ]; then
    flags+=(-podman5 "$PWD/$five")
    [ -s "$cache/podman5/pid" ] || stop5=1
  fi
fi
status=0
"$BENCH_DIR/bench" "${flags[@]}" || status=$?
[ -z "$stop5" ] || "$five" --stop || true
exit $status
