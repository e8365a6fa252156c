#!/bin/bash
# enter.sh [--as-root] COMMAND...: runs COMMAND where the rootless tests can work.
#
# As root: installs what is missing, makes the user wherry-test, then, in a private mount namespace, gives that user a
# run directory on a tmpfs, /dev/fuse and /dev/net/tun, a cgroup v2 view with a cgroup of its own, the Go module cache
# and this tree, and runs COMMAND as that user. With --as-root COMMAND stays root in there and test/setup/drop.sh drops
# to the user. Everything but the packages and the user is gone when COMMAND ends; so is every process it left behind.
# Not root: runs COMMAND directly, in a delegated scope where systemd offers one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=test/setup/lib.sh
. "$here/lib.sh"
tree=$(cd "$here/../.." && pwd)
user=${WHERRY_TEST_USER:-wherry-test}
as_root=
[ "${1:-}" = --as-root ] && { as_root=1; shift; }
[ $# -gt 0 ] || die "usage: enter.sh [--as-root] COMMAND..."

laptop() {
  if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] && command -v systemd-run >/dev/null &&
      systemctl --user is-active -q default.target 2>/dev/null; then
    exec systemd-run --user --scope -q -p Delegate=yes -- "$@"
  fi
  exec "$@"
}

make_user() {
  id "$user" >/dev/null 2>&1 || { say "making the test user $user"; useradd -m -s /bin/bash "$user"; }
  give_ids /etc/subuid --add-subuids
  give_ids /etc/subgid --add-subgids
}

# give_ids FILE FLAG: a free range of 65536 for a user that useradd gave none (made before uidmap was installed).
give_ids() {
  ! grep -q "^$user:" "$1" 2>/dev/null || return 0
  local first
  first=$(awk -F: 'BEGIN{m=100000} $2+$3>m{m=$2+$3} END{print m}' "$1" 2>/dev/null || echo 100000)
  usermod "$2" "$first-$((first + 65535))" "$user"
}

# Ubuntu 23.10 and later refuse user namespaces to programs without an AppArmor profile.
apparmor_knob=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
allow_userns() {
  [ "$(cat $apparmor_knob 2>/dev/null || echo 0)" = 1 ] || return 0
  say "allowing unprivileged user namespaces while the tests run (kernel.apparmor_restrict_unprivileged_userns)"
  echo 0 >$apparmor_knob && restore_knob=1
}

[ "$(id -u)" = 0 ] || laptop "$@"

if [ -z "${WHERRY_ENTERED:-}" ]; then
  apt_need "${TEST_PACKAGES[@]}" || die "install the packages named above, then try again"
  [ -n "${WHERRY_TEST_MINIMAL:-}" ] || apt_want "${TEST_EXTRAS[@]}"
  make_user
  restore_knob=
  allow_userns
  made_run=
  run=/run/user/$(id -u "$user")
  [ -d "$run" ] || { mkdir -p "$run"; made_run=1; }
  home=$(getent passwd "$user" | cut -d: -f6)
  install -d -o "$user" -g "$(id -g "$user")" "$home/go" "$home/go/pkg" "$home/go/pkg/mod" "$home/src"
  undo() {
    [ -z "$made_run" ] || rmdir "$run" 2>/dev/null || true
    rmdir "$home/src" 2>/dev/null || true
    [ -z "$restore_knob" ] || echo 1 >$apparmor_knob
  }
  trap undo EXIT
  trap 'exit 130' INT TERM
  status=0
  # The inner half undoes its cgroup itself; the mounts go with the namespace.
  # shellcheck disable=SC2086
  WHERRY_ENTERED=1 unshare --mount --propagation private -- "$0" ${as_root:+--as-root} "$@" || status=$?
  exit $status
fi

# From here on: root in a private mount namespace.
unset WHERRY_ENTERED
uid=$(id -u "$user") gid=$(id -g "$user")
home=$(getent passwd "$user" | cut -d: -f6)
run=/run/user/$uid

device() { # NAME MAJOR MINOR: a node that the user may open, without touching the machine's own
  [ -e "/dev/$1" ] || return 0
  mknod -m 666 "$nodes/${1//\//-}" c "$2" "$3" 2>/dev/null || return 0
  mount --bind "$nodes/${1//\//-}" "/dev/$1"
}

mount -t tmpfs -o "mode=700,uid=$uid,gid=$gid" tmpfs "$run"
nodes=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$nodes"
device fuse 10 229
device net/tun 10 200
umount -l "$nodes" && rmdir "$nodes"

# The user reads the module cache of whoever calls, wherever it lies.
go=${GO:-$(command -v go || echo /usr/local/go/bin/go)}
if [ -x "$go" ]; then
  modcache=$("$go" env GOMODCACHE)
  [ ! -d "$modcache" ] || mount --bind -o ro "$modcache" "$home/go/pkg/mod"
fi
# And the tree, where a parent directory is closed to it.
if ! setpriv --reuid "$uid" --regid "$gid" --clear-groups test -r "$tree/go.mod"; then
  mount --bind "$tree" "$home/src"
  tree=$home/src
fi

# A cgroup v2 view: on a machine where v1 holds the controllers the runtimes refuse the mixture.
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
  umount -R -l /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
cg=/sys/fs/cgroup/wherry-test-$$
mkdir "$cg"
for c in $(cat "$cg/cgroup.controllers"); do echo "+$c" >"$cg/cgroup.subtree_control" 2>/dev/null || true; done
mkdir "$cg/init"
chown "$uid:$gid" "$cg" "$cg"/cgroup.{procs,subtree_control,threads} "$cg/init" "$cg"/init/cgroup.{procs,subtree_control,threads}
mount --make-rshared /

leave() {
  echo 1 >"$cg/cgroup.kill" 2>/dev/null || true
  local i
  for i in $(seq 50); do
    grep -q 'populated 0' "$cg/cgroup.events" && break
    sleep 0.1
  done
  find "$cg" -depth -type d -exec rmdir {} + 2>/dev/null || say "left behind: $cg ($i)"
}
trap leave EXIT
trap 'exit 130' INT TERM

export WHERRY_TEST_USER=$user WHERRY_TEST_HOME=$home
cd "$tree"
export PATH=$PATH:/usr/sbin:/sbin
(
  echo "$BASHPID" >"$cg/init/cgroup.procs"
  if [ -n "$as_root" ]; then exec "$@"; fi
  exec "$tree/test/setup/drop.sh" "$@"
) <&0 &
status=0
wait $! || status=$?
exit $status
