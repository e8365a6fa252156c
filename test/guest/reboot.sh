#!/bin/bash
# guest: uml
# boots: 2
# Containers run, the machine goes down, and comes back.
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
if [ "$BOOT" = 1 ]; then
  have_image
  check 'run a container' $W run -d --name a --network none -v keep:/keep busybox sh -c 'date >/keep/x; echo hello; sleep 1000'
  check 'another, to be restarted' $W run -d --name b --network none --restart always busybox sleep 1000
  check 'a third, to be removed at its end' $W run -d --rm --name r --network none busybox sleep 1000
  check 'a fourth, paused' $W run -d --name p --network none busybox sleep 1000
  check 'pause it' $W pause p
  check 'a fifth, created' $W create --name n --network none busybox true
  eventually 'it has written' test -n "$($W logs a)"
  # No farewell: what is written must be there without.
  [ "$(systemctl --user show -P ActiveState wherry.scope)" = active ] || fail 'no scope'
  exit 0
fi
[ -e /home/tester/.local/share/wherry/containers ] || fail 'the disk was not kept'
same 'a is exited' exited "$(state_of a)"
same 'nobody saw its end' 255 "$($W inspect -f '{{.State.ExitCode}}' a)"
same 'b is exited' exited "$(state_of b)"
same 'p is exited' exited "$(state_of p)"
same 'n is created' created "$(state_of n)"
same 'ps shows none' '' "$($W ps -q)"
eventually 'r is gone' not $W container inspect r
same 'the log is there' hello "$($W logs a)"
same 'no group is left' 0 "$(find $groups -type d -name 'wherry-*' | wc -l)"
check 'system check' $W system check
check 'start' $W start a b p n
same 'a runs' running "$(state_of a)"
check 'its volume is there' $W exec a test -s /keep/x
check 'rm' $W rm -f -t 0 a b p n
check 'volume rm' $W volume rm keep
same 'nothing is left to remove' '' "$($W ps -aq)$(ls /home/tester/.local/share/wherry/containers)$(ls /run/user/1001/wherry/c)"
check 'system check again' $W system check
