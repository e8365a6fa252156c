# Shared by the scripts that run inside a test guest; sourced. One line per check; the first failure ends the script.
# shellcheck shell=bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
W=/host/bin/wherry
image=/host/bin/guest/busybox.tar
groups=/sys/fs/cgroup
cd /tmp || exit 1

say() { printf '     %s\n' "$*"; }

fail() {
  printf 'FAIL %s\n' "$*"
  {
    echo '--- containers'; $W ps -a
    echo '--- groups'; find $groups -path '*wherry*' -type d
    echo '--- journal'; journalctl -b --no-pager -q -n 15
  } 2>&1 | cut -c-200 | tail -60
  exit 1
}

# check NAME COMMAND...: the command's output is shown when it fails.
check() {
  local name=$1 out
  shift
  if out=$("$@" 2>&1); then printf 'ok   %s\n' "$name"; else fail "$name: $* -> $out"; fi
}

# same NAME WANT GOT
same() { if [ "$2" = "$3" ]; then printf 'ok   %s\n' "$1"; else fail "$1: want \"$2\", got \"$3\""; fi; }

# refused NAME TEXT COMMAND...: it fails and says TEXT.
refused() {
  local name=$1 text=$2 out
  shift 2
  if out=$("$@" 2>&1); then fail "$name: not refused"; fi
  case $out in *"$text"*) printf 'ok   %s\n' "$name" ;; *) fail "$name: no \"$text\" in: $out" ;; esac
}

# eventually NAME COMMAND...: true within ten seconds.
eventually() {
  local name=$1 end=$((SECONDS + 10))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then fail "$name: $* never came true"; fi
    sleep 0.05
  done
  printf 'ok   %s\n' "$name"
}

not() { ! "$@"; }
is() { [ "$(state_of "$1")" = "$2" ]; }

have_image() {
  [ -s $image ] || fail "no $image: test/setup/guest.sh makes it"
  $W image exists busybox 2>/dev/null || check 'import an image' $W import $image busybox
}

pid_of() { $W inspect -f '{{.State.Pid}}' "$1"; }
parent_of() { awk '/^PPid:/{print $2}' "/proc/$1/status"; }
group_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }
# net_process uplink|net: pid of what serves the user's networks.
net_process() { sed -n 's/.*"Pid":\([0-9]*\).*/\1/p' "/run/user/1001/wherry/net/$1.json"; }
state_of() { $W inspect -f '{{.State.Status}}' "$1"; }

# each N COMMAND...: microseconds for one.
each() {
  local n=$1 start i
  shift
  start=$(date +%s%N)
  for ((i = 0; i < n; i++)); do "$@" >/dev/null 2>&1 || fail "$*"; done
  echo $((($(date +%s%N) - start) / n / 1000))
}
