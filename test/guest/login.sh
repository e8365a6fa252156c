#!/bin/bash
# guest: ns
# user: root
# A login session lies outside of what systemd delegates to the user. Containers started there, and their end.
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
service=/user.slice/user-1001.slice/user@1001.service
scope=$service/user.slice/wherry.scope

session() { systemd-run --quiet --pipe --wait --collect -p User=tester -p PAMName=login -p WorkingDirectory=/tmp -- "$@"; }
inside() { session bash -c ". /host/test/guest/lib/guest.sh; $1"; }

case $(inside 'group_of self') in /user.slice/user-1001.slice/session-*.scope) ;; *) fail "no login session: $(inside 'group_of self')" ;; esac
inside have_image || fail 'import'
check 'run' session $W run -d --name a --network none busybox sleep 1000
pid=$(inside 'pid_of a')
same 'the container is below the scope' $scope "$(dirname "$(group_of "$pid")")"
same 'its monitor is in the scope' $scope/monitors "$(group_of "$(parent_of "$pid")")"
same 'the session is over' 0 "$(find $groups/user.slice/user-1001.slice -maxdepth 1 -name 'session-*' | wc -l)"
same 'the container is not' running "$(inside 'state_of a')"
check 'exec from another session' session $W exec a true
inside "$W exec a sleep 78" &
eventually 'an exec runs' pgrep -f '^sleep 78'
same 'it is in the container'\''s group' "$(group_of "$pid")" "$(group_of "$(pgrep -f '^sleep 78')")"
check 'pause and unpause' inside "$W pause a && $W unpause a"
check 'run by way of su' runuser -u tester -- env -u XDG_RUNTIME_DIR $W run --rm --network none busybox true
say "in a login session: run --rm $(inside "each 15 $W run --rm --network none busybox true") us, exec $(inside "each 15 $W exec a true") us"
say "in the user's manager: run --rm $(systemd-run --user -M tester@ --quiet --pipe --wait --collect bash -c ". /host/test/guest/lib/guest.sh; each 15 $W run --rm --network none busybox true") us"
check 'run with a network' session $W run -d --name n busybox sleep 1000
same 'the uplink is in the scope' $scope/monitors "$(group_of "$(net_process uplink)")"
same 'so is wherry-net' $scope/monitors "$(group_of "$(net_process net)")"
check 'its rm' session $W rm -f -t 0 n
check 'stop and rm' session $W rm -f -t 0 a
wait

check 'run without linger' session $W run -d --init --name b --network none busybox sleep 1000
pid=$(inside 'pid_of b')
check 'linger off, and the user is logged out' loginctl disable-linger tester
loginctl terminate-user tester
eventually 'the container ends' test ! -e "/proc/$pid"
eventually 'and with it the user'\''s manager' not systemctl is-active -q user@1001.service
loginctl enable-linger tester
same 'at the next login it is exited' exited "$(inside 'state_of b')"
check 'and starts' session $W start b
same 'in a new scope' $scope "$(dirname "$(group_of "$(inside 'pid_of b')")")"
check 'rm' session $W rm -f -t 0 b
check 'system check' session $W system check
