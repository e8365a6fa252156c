#!/bin/bash
# emulated.sh ARCH...: the wherry in dist/linux-ARCH runs a container of its own processor under qemu-user. Run by cross-check.sh,
# by an ordinary user who can use bin/wherry.
#
# The host's own parts in it are crun and the monitor, which reaps a container's orphans: qemu-user (7.2 at least) has no
# PR_SET_CHILD_SUBREAPER. Neither can it make a user namespace, so bin/wherry does, and no namespace has a binfmt_misc of
# its own before Linux 6.7. What opens paths in a container's root by openat2 (cp, commit) is not emulated either. The filter of system calls is that of the emulated processor, while the emulator makes the host's.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/wherry-emulated.XXXXXX")
export WHERRY_DATA
WHERRY_RUN=$(mktemp -d "${XDG_RUNTIME_DIR:-$dir}/wherry-emulated.XXXXXX")
export WHERRY_RUN
undo() {
  bin/wherry unshare rm -rf "$dir" 2>/dev/null || true
  bin/wherry system migrate >/dev/null 2>&1 || true
  rm -rf "$dir" "$WHERRY_RUN"
}
trap undo EXIT
WHERRY_DATA=$dir/data

# In the user namespace: register the emulator for its processes alone, then do what a user does.
cat >"$dir/inside.sh" <<'X'
set -eu
magic=$1 emulator=$2 wherry=$3
umount /proc/sys/fs/binfmt_misc 2>/dev/null || true # of the architecture before
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null || { echo "this kernel has no binfmt_misc in a user namespace"; exit 77; }
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":emulated-${emulator##*/}:M::$magic:$mask:$emulator:POCF" >/proc/sys/fs/binfmt_misc/register
cd "$WHERRY_DATA/.."
has() { printf '%s' "$1" | grep -qF -- "$2" || { echo "not $2: $1"; exit 1; }; }
flags='--network none --security-opt seccomp=unconfined'
"$wherry" import root.tar it >/dev/null
has "$("$wherry" run --rm $flags it /bin/wherry --version)" 'wherry version'
"$wherry" run --name ctr -v vol:/vol $flags it /bin/wherry --help >/dev/null
has "$("$wherry" ps -a)" 'Exited (0)'
has "$("$wherry" logs ctr)" 'without a daemon'
has "$("$wherry" start -a ctr)" 'without a daemon'
has "$("$wherry" inspect -f '{{.State.ExitCode}} {{.Path}}' ctr)" '0 /bin/wherry'
"$wherry" rm ctr >/dev/null
"$wherry" rmi it >/dev/null
"$wherry" volume rm vol >/dev/null
"$wherry" system check >/dev/null
X

try() { # ARCH EMULATOR MAGIC
  local parts=$dir/$1 status=0 said
  mkdir -p "$parts/libexec/wherry" "$dir/root/bin" "$dir"/root/{dev,etc,proc,sys,tmp,vol}
  cp "dist/linux-$1/wherry" "$parts/"
  cp "dist/linux-$1"/libexec/wherry/* "$parts/libexec/wherry/"
  cp bin/libexec/wherry/wherry-monitor "$parts/libexec/wherry/"
  cp "dist/linux-$1/wherry" "$dir/root/bin/"
  tar -C "$dir/root" -cf "$dir/root.tar" .
  WHERRY_DATA=$dir/data-$1
  said=$(bin/wherry unshare sh "$dir/inside.sh" "$3" "$2" "$parts/wherry" 2>&1) || status=$?
  case $status in
    0) echo "ok    $1 wherry: a container's life under ${2##*/}" ;;
    77) echo "skip  $1: no container under ${2##*/}: $said" ;;
    *) echo "FAIL  $1 wherry: a container's life under ${2##*/}: $said"; return 1 ;;
  esac
}

bad=0
for arch in "$@"; do
  case $arch in
    arm64) name=qemu-aarch64-static magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' ;;
    armv*) name=qemu-arm-static magic='\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00' ;;
    *) continue ;;
  esac
  if [ ! -x bin/wherry ] || [ "$(uname -m)" != x86_64 ] || ! command -v $name >/dev/null || ! command -v crun >/dev/null; then
    echo "skip  $arch: no container: it wants an x86_64 machine, bin/wherry, $name and crun"
    continue
  fi
  try "$arch" "$(command -v $name)" "$magic" || bad=1
done
exit $bad
