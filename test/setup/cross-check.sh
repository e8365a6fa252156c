#!/bin/bash
# cross-check.sh ARCH...: each binary in dist/linux-ARCH is static, and starts (under qemu-user where it is foreign).
set -euo pipefail
cd "$(dirname "$0")/../.."
here=test/setup
# shellcheck source=test/setup/lib.sh
. $here/lib.sh
[ "$(id -u)" != 0 ] || apt_want qemu-user-static file binutils
host=$(uname -m)
bad=0
emulator() {
  case $1-$host in
    amd64-x86_64 | arm64-aarch64) ;;
    amd64-*) echo qemu-x86_64-static ;;
    arm64-*) echo qemu-aarch64-static ;;
    armv*) echo qemu-arm-static ;;
  esac
}
cpu() { case $1 in armv6) echo QEMU_CPU=arm1176 ;; armv7) echo QEMU_CPU=cortex-a15 ;; esac; }
for arch in "$@"; do
  while read -r f; do
    if readelf -lW "$f" | grep -Eq 'INTERP|DYNAMIC'; then echo "FAIL $f is not static"; bad=1; fi
  done < <(find "dist/linux-$arch" -type f)
  emu=$(emulator "$arch")
  if [ -n "$emu" ] && ! command -v "$emu" >/dev/null; then
    echo "skip  $arch: static; not started ($emu is not installed)"
    continue
  fi
  for f in wherry libexec/wherry/wherry-monitor libexec/wherry/wherry-net; do
    [ -e "dist/linux-$arch/$f" ] || continue
    # shellcheck disable=SC2046 # an assignment or nothing
    if out=$(env $(cpu "$arch") timeout 60 ${emu:+"$emu"} "dist/linux-$arch/$f" --version 2>&1); then
      echo "ok    $arch ${f##*/}: static, starts: $out ($(du -h "dist/linux-$arch/$f" | cut -f1))"
    else
      echo "FAIL  $arch ${f##*/} does not start: $out"
      bad=1
    fi
  done
done
# A container's life wants the test user where root calls.
if [ "$(id -u)" = 0 ]; then
  $here/enter.sh $here/emulated.sh "$@" || bad=1
else
  $here/emulated.sh "$@" || bad=1
fi
exit $bad
