#!/bin/bash
# drop.sh COMMAND...: root becomes the test user with an environment of its own and runs COMMAND. Inside enter.sh only.
# Also serves as `go test -exec`: a test binary in root's private temporary directory is copied to where the user can
# run it.
set -euo pipefail
user=${WHERRY_TEST_USER:?drop.sh runs inside enter.sh}
home=$WHERRY_TEST_HOME
uid=$(id -u "$user") gid=$(id -g "$user")
copy=
if [[ $1 == *.test && -f $1 ]]; then
  copy=$(mktemp -d /tmp/wherry-gotest.XXXXXX)
  cp "$1" "$copy/"
  chmod -R a+rX "$copy"
  set -- "$copy/$(basename "$1")" "${@:2}"
  trap 'rm -rf "$copy"' EXIT
fi
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
godir=$(dirname "$(command -v "${GO:-go}" || echo /usr/local/go/bin/go)") && path=$godir:$path
unset DBUS_SESSION_BUS_ADDRESS SUDO_USER SUDO_UID SUDO_GID SUDO_COMMAND MAIL GOROOT GOBIN GOTMPDIR
run=(setpriv --reuid "$uid" --regid "$gid" --init-groups -- env HOME="$home" USER="$user" LOGNAME="$user"
  XDG_RUNTIME_DIR="/run/user/$uid" PATH="$path" GOPATH="$home/go" GOMODCACHE="$home/go/pkg/mod"
  GOCACHE="$home/.cache/go-build" TMPDIR=/tmp
  GOFLAGS="-buildvcs=false${TAGS:+ -tags=${TAGS// /,}}") # for tests that build: git refuses a tree of another user
if [ -z "$copy" ]; then exec "${run[@]}" "$@"; fi
"${run[@]}" "$@"
