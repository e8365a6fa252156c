# Shared by the set-up scripts; sourced. Nothing here runs by itself.
# shellcheck shell=bash

say() { printf '# %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# apt_need PACKAGE...: installs those that are missing, with a retry; needs root and apt.
apt_need() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || { say "not installed, and this is not Debian or Ubuntu: ${missing[*]}"; return 1; }
  say "installing: ${missing[*]}"
  local try
  for try in 1 2 3; do
    if DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1; then
      return 0
    fi
    [ "$try" = 3 ] || { sleep $((try * 3)); apt-get update -qq >/dev/null 2>&1 || true; }
  done
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >&2
}

# apt_want PACKAGE...: as apt_need, but each by itself, and a package that cannot be had is only said.
apt_want() {
  local p
  for p in "$@"; do apt_need "$p" >/dev/null || say "going on without $p"; done
}

# shellcheck disable=SC2034 # read by those that source this
# What the tests run: runtimes, rootless tools, a registry, peers to compare with.
TEST_PACKAGES=(crun runc uidmap passt slirp4netns fuse-overlayfs busybox-static util-linux)
# shellcheck disable=SC2034
TEST_EXTRAS=(nftables docker-registry apache2-utils skopeo mmdebstrap jq strace xfsprogs btrfs-progs)
# shellcheck disable=SC2034
BENCH_PACKAGES=(podman conmon hyperfine docker-registry skopeo jq)
