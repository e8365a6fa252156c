#!/bin/bash
# guest.sh [SCRIPT...]: runs scripts (test/guest/*.sh) in throw-away guests with systemd as PID 1. Needs root, and the
# guests' own scripts in ../shared/vmtest. A script's header says in what: `# guest: ns|uml`, `# user: root|tester`, and
# `# boots: N` for one that is run N times with a reboot between.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/setup/lib.sh
. test/setup/lib.sh
vm=../shared/vmtest
cache=${VMTEST_CACHE:-/var/cache/vmtest}
[ -d $vm ] || die "no guests here: there is no $vm"
[ "$(id -u)" = 0 ] || die "a guest is booted by root"
[ -x bin/wherry ] || die "nothing built yet: run make first"
mkdir -p bin/guest
test/setup/image.sh busybox bin/guest/busybox.tar
rm -f bin/guest/runc
if runc=$(command -v runc); then cp "$runc" bin/guest/runc; fi

header() { sed -n "s/^# $1: //p" "$2"; } # KEY SCRIPT

guest() { # SCRIPT
  local backend user boots disk status=0 boot
  backend=$(header guest "$1") user=$(header user "$1") boots=$(header boots "$1")
  if [ "$backend" = uml ] && [ ! -x "$cache/linux-uml" ]; then
    echo "guest test $1: skipped, no User-Mode-Linux kernel in the cache ($vm/build-uml.sh makes one)"
    return 0
  fi
  disk=$(mktemp -d)
  for ((boot = 1; boot <= ${boots:-1}; boot++)); do
    bash $vm/vm-run.sh -b "${backend:-ns}" -u "${user:-tester}" -t 180 --disk "$disk/disk" --share "$PWD" -- "BOOT=$boot bash /host/$1" || status=$?
    [ $status = 0 ] || break
  done
  rm -rf "$disk"
  return $status
}

[ $# -gt 0 ] || set -- test/guest/*.sh
for script in "$@"; do
  say "$script"
  guest "$script" || die "$script failed"
done
