#!/bin/bash
# guest: uml
# user: root
# Real root: no user namespace, the system's manager, the same scope.
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
scope=/system.slice/wherry.scope
have_image
check 'run in the background' $W run -d --name a --network none --memory 64m busybox sleep 1000
pid=$(pid_of a) id=$($W inspect -f '{{.Id}}' a)
same 'no user namespace' "$(readlink /proc/1/ns/user)" "$(readlink "/proc/$pid/ns/user")"
same 'the container has a group below the scope' "$scope/wherry-$id" "$(group_of "$pid")"
same 'its limit holds there' $((64 << 20)) "$(cat "$groups$scope/wherry-$id/memory.max")"
same 'its monitor is in the scope' $scope/monitors "$(group_of "$(parent_of "$pid")")"
check 'exec' $W exec a true
check 'pause' $W pause a
same 'inspect says paused' paused "$(state_of a)"
check 'unpause' $W unpause a
check 'run from a unit that ends' systemd-run --quiet --wait --collect $W run -d --name c --network none busybox sleep 1000
same 'the container survives the unit' running "$(state_of c)"
$W rm -f -t 0 c >/dev/null
kill -9 "$(parent_of "$pid")"
check 'stop without monitor' $W stop -t 0 a
check 'start again' $W start a
check 'rm' $W rm -f -t 0 a
eventually 'the scope goes with the last container' not systemctl is-active -q wherry.scope
for i in 1 2 3 4 5 6 7 8; do $W run --rm --network none busybox true || fail "run $i, as the scope comes and goes"; done
echo 'ok   eight runs one after the other, as the scope comes and goes'
jobs=()
for i in 1 2 3 4; do $W run -d --name "m$i" --network none busybox sleep 1000 >/dev/null & jobs+=($!); done
for j in "${jobs[@]}"; do wait "$j" || fail 'four first starts at once'; done
same 'four first starts at once share a scope' 4 "$(find $groups$scope -mindepth 1 -maxdepth 1 -name 'wherry-*' | wc -l)"
say "run --rm beside others: $(each 5 $W run --rm --network none busybox true) us"
check 'rm all' $W rm -f -t 0 m1 m2 m3 m4
say "run --rm alone, a scope each: $(each 5 $W run --rm --network none busybox true) us"
eventually 'nothing is left' test ! -e $groups$scope
check 'system check' $W system check
