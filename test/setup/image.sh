#!/bin/bash
# image.sh busybox FILE.tar    a small root file system from the machine's own busybox (static), with every applet
# image.sh debian FILE.tar     a Debian root file system by mmdebstrap (kept in a cache; needs root and the network)
# Both are plain tar files for `wherry import`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=test/setup/lib.sh
. "$here/lib.sh"
kind=${1:-} out=${2:-}
[ -n "$kind" ] && [ -n "$out" ] || die "usage: image.sh busybox|debian FILE.tar"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# A busybox that runs without any library of the host.
static_busybox() {
  local b
  for b in /bin/busybox /usr/bin/busybox "$(command -v busybox || true)"; do
    [ -x "$b" ] && ! ldd "$b" >/dev/null 2>&1 && { echo "$b"; return 0; }
  done
  [ "$(id -u)" = 0 ] && apt_need busybox-static && echo /bin/busybox && return 0
  die "no static busybox here: apt install busybox-static"
}

busybox() {
  local box root=$tmp/root applet
  box=$(static_busybox)
  mkdir -p "$root"/{bin,dev,etc,home,proc,root,sbin,sys,tmp,usr/bin,usr/sbin,var/run,var/log,run}
  chmod 1777 "$root/tmp"
  chmod 700 "$root/root"
  install -m 755 "$box" "$root/bin/busybox"
  "$box" --list-full 2>/dev/null | while read -r applet; do
    case $applet in linuxrc | bin/busybox) continue ;; esac
    mkdir -p "$root/$(dirname "$applet")"
    ln -sf /bin/busybox "$root/$applet"
  done
  cat >"$root/etc/passwd" <<X
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
user:x:1000:1000:user:/home/user:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
X
  cat >"$root/etc/group" <<X
root:x:0:
daemon:x:1:
tty:x:5:
audio:x:29:user
user:x:1000:
nogroup:x:65534:
X
  mkdir -p "$root/home/user"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  printf 'NAME=busybox\nID=busybox\nPRETTY_NAME="busybox, made on the spot"\n' >"$root/etc/os-release"
  tar --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -C "$root" -cf "$out.part" .
  mv "$out.part" "$out"
}

debian() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/wherry-test suite
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  mkdir -p "$cache"
  if [ ! -s "$cache/$suite.tar" ]; then
    [ "$(id -u)" != 0 ] || apt_need mmdebstrap
    command -v mmdebstrap >/dev/null || die "no mmdebstrap here: apt install mmdebstrap"
    say "making a $suite root file system (about half a minute, kept in $cache)"
    mmdebstrap --quiet --variant=apt --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$cache/$suite.tar.part"
    mv "$cache/$suite.tar.part" "$cache/$suite.tar"
  fi
  cp "$cache/$suite.tar" "$out"
}

case $kind in
  busybox | debian) "$kind" ;;
  *) die "image.sh: no such kind: $kind (busybox or debian)" ;;
esac
