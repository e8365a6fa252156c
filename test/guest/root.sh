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

check 'every limit as root' $W run -d --name l --network none --memory 64m --memory-swap 96m --cpus 0.5 --pids-limit 20 \
  --device-cgroup-rule 'c 10:229 rwm' busybox sleep 1000
l=$groups$scope/wherry-$($W inspect -f '{{.Id}}' l)
same 'in the files' "$((64 << 20)) $((32 << 20)) 50000 100000 20" "$(cat "$l/memory.max" "$l/memory.swap.max" "$l/cpu.max" "$l/pids.max" | tr '\n' ' ' | sed 's/ $//')"
check 'update' $W update --memory 80m --cpus 0.2 l
same 'in the files, too' "$((80 << 20)) 20000 100000" "$(cat "$l/memory.max" "$l/cpu.max" | tr '\n' ' ' | sed 's/ $//')"
same 'stats' "$((80 << 20)) 1" "$($W stats --no-stream --format '{{.MemLimit}} {{.PIDs}}' l)"
check 'a scope of its own' $W --cgroup-manager systemd run -d --name own --network none --memory 40m busybox sleep 1000
check 'is a unit of systemd' systemctl is-active "wherry-$($W inspect -f '{{.Id}}' own).scope"
check 'without systemd' $W --cgroup-manager cgroupfs run -d --name free --network none --memory 40m busybox sleep 1000
same 'at the top' "/wherry-$($W inspect -f '{{.Id}}' free)" "$(group_of "$(pid_of free)")"
check 'in a slice' $W run -d --name sliced --cgroup-parent machine.slice --network none busybox sleep 1000
case $(group_of "$(pid_of sliced)") in /machine.slice/wherry-*.scope/container) echo 'ok   of systemd' ;; *) fail "not in the slice: $(group_of "$(pid_of sliced)")" ;; esac
if [ -x /host/bin/guest/runc ]; then
  check 'with runc' $W --runtime /host/bin/guest/runc run -d --name r --network none --memory 40m --cpus 0.5 --pids-limit 9 busybox sleep 1000
  r=$groups$(group_of "$(pid_of r)")
  same 'in the files' "$((40 << 20)) 50000 100000 9" "$(cat "$r/memory.max" "$r/cpu.max" "$r/pids.max" | tr '\n' ' ' | sed 's/ $//')"
  check 'update' $W update --memory 50m --cpus 0 --pids-limit -1 r
  same 'in the files, too' "$((50 << 20)) max 100000 max" "$(cat "$r/memory.max" "$r/cpu.max" "$r/pids.max" | tr '\n' ' ' | sed 's/ $//')"
  $W rm -f -t 0 r >/dev/null
fi
$W run --name oom --network none --memory 16m --memory-swap 16m busybox tail /dev/zero >/dev/null 2>&1
same 'out of memory' '137 true' "$? $($W inspect -f '{{.State.OOMKilled}}' oom)"
check 'rm all' $W rm -f -t 0 l own free sliced oom
eventually 'nothing is left of it' test ! -e $groups$scope
check 'system check' $W system check
