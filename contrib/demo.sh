#!/bin/bash
# `make demo`: wherry on this machine, from nothing to a container and back. Debian and Ubuntu.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$PWD
bold=; green=; red=; off=
if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' off=$'\e[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
fail() { printf '\n%sdemo: failed: %s%s\n' "$red" "$*" "$off" >&2; exit 1; }
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

install_packages() {
  step 'What it needs'
  local missing=() p what
  while read -r p what; do
    if dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed'; then
      printf '  %-16s %s: here\n' "$p" "$what"
    else
      printf '  %-16s %s: to be installed\n' "$p" "$what"
      missing+=("$p")
    fi
  done <<'X'
crun starts containers
uidmap more than one user id for an ordinary user
passt a network for an ordinary user
busybox-static what we put into the first image
make builds wherry
X
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "install these and try again: ${missing[*]}"
  printf '\n$ %sapt-get install %s\n' "${sudo:+sudo }" "${missing[*]}"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1 && return 0
  $sudo apt-get update -qq || fail 'apt-get update did not work: is there a network?'
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
    fail "apt could not install ${missing[*]}"
}

# Ubuntu 23.10 and later: a program needs an AppArmor profile to make a user namespace.
allow_userns() {
  [ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null || echo 0)" = 1 ] || return 0
  step 'AppArmor restricts user namespaces here: adding a profile for bin/wherry (/etc/apparmor.d/wherry-demo)'
  sed "s|@WHERRY@|$tree/bin/wherry|; s|profile wherry|profile wherry-demo|" contrib/apparmor/wherry.in |
    $sudo tee /etc/apparmor.d/wherry-demo >/dev/null
  $sudo apparmor_parser -r /etc/apparmor.d/wherry-demo || fail 'AppArmor did not take the profile'
}

build() {
  step 'Building'
  GO=$(contrib/find-go.sh --install) || fail 'no Go to build with'
  export GO
  printf '$ make    # with %s\n' "$GO"
  make --no-print-directory build || fail 'it does not build'
  ls -sh1 bin/wherry bin/libexec/wherry/*
}

prepare() {
  install_packages
  build
  allow_userns
  WHERRY_DEMO_DIR=$(mktemp -d /tmp/wherry-demo.XXXXXX)
  export WHERRY_DEMO_DIR
  trap 'rm -rf "$WHERRY_DEMO_DIR"' EXIT
  test/setup/image.sh busybox "$WHERRY_DEMO_DIR/rootfs.tar"
  chmod -R a+rX "$WHERRY_DEMO_DIR"
  export WHERRY_DEMO_STAGE=show
  if [ "$(id -u)" = 0 ]; then
    step 'You are root: the rest runs as the unprivileged user wherry-test'
    WHERRY_TEST_MINIMAL=1 test/setup/enter.sh contrib/demo.sh
  else
    contrib/demo.sh
  fi
}

# type COMMAND: shows a command as a person types it and runs it; its output is kept in $out.
out=
type() {
  printf '\n%s$ %s%s\n' "$bold" "$1" "$off"
  local status=0
  out=$(eval "$1" 2>&1) || status=$?
  [ -z "$out" ] || printf '%s\n' "$out"
  [ $status = 0 ] || fail "\`$1\` ended with status $status"
}
expect() { case $out in *"$1"*) ;; *) fail "expected \"$1\" in the output above" ;; esac; }

tidy() {
  wherry rm -f demo >/dev/null 2>&1 || true
  wherry rmi -f localhost/demo >/dev/null 2>&1 || true
}

show() {
  export PATH=$tree/bin:$PATH
  export TERM=${TERM:-dumb}
  cd "$WHERRY_DEMO_DIR"
  tidy # of an earlier demo that was cut short
  trap tidy EXIT
  step "As $(id -un), without a daemon and without privileges"
  type 'wherry --version'
  type 'wherry import rootfs.tar localhost/demo'
  type 'wherry images'
  expect localhost/demo
  type "wherry run --rm --network none localhost/demo sh -c 'echo hello from \$(hostname); id -un'"
  expect 'hello from'
  expect root
  type "wherry run -d --name demo --network none localhost/demo sh -c 'trap \"exit 0\" TERM; echo started; while :; do sleep 1; done'"
  type 'wherry ps'
  expect demo
  type 'wherry exec demo cat /proc/1/comm'
  expect sh
  type 'wherry logs demo'
  expect started
  type 'wherry stop demo'
  type 'wherry ps -a'
  expect Exited
  type 'wherry rm demo'
  step 'A web server, published on a port of this machine'
  type "wherry run -d --name demo -p 127.0.0.1::80 localhost/demo sh -c 'mkdir /www; echo served from a container > /www/index.html; exec httpd -f -p 80 -h /www'"
  type 'wherry port demo 80'
  web=${out%%$'\n'*}
  type "for try in 1 2 3 4 5 6 7 8 9 10; do busybox wget -q -O - http://$web/ && break; sleep 0.2; done" # its server may need a moment
  expect 'served from a container'
  type 'wherry rm -f demo'
  type "! busybox wget -q -T 2 -O - http://$web/ # nothing listens any more"
  type 'wherry rmi localhost/demo'
  printf '\n%sdemo: all good%s\n' "$green" "$off"
}

if [ "${WHERRY_DEMO_STAGE:-}" = show ]; then show; else prepare; fi
