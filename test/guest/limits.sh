#!/bin/bash
# guest: uml
# Limits on a kernel that has the controllers: in the files, and in what they do.
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
have_image
run() { $W run --network none "$@"; }
group() { echo "$groups$(group_of "$(pid_of "$1")")"; }
file() { cat "$(group "$1")/$2"; }

check 'run with every limit' run -d --name a --memory 64m --memory-reservation 32m --memory-swap 96m --pids-limit 20 --cpus 0.5 \
  --cpu-shares 512 busybox sleep 1000
same '--memory' $((64 << 20)) "$(file a memory.max)"
same '--memory-reservation' $((32 << 20)) "$(file a memory.low)"
same '--memory-swap, less --memory' $((32 << 20)) "$(file a memory.swap.max)"
same '--pids-limit' 20 "$(file a pids.max)"
same '--cpus' '50000 100000' "$(file a cpu.max)"
check 'run without limits' run -d --name b busybox sleep 1000
same 'no limit of memory' max "$(file b memory.max)"
same 'but one of processes' 2048 "$(file b pids.max)"
same 'none of cpus' 'max 100000' "$(file b cpu.max)"
check 'fewer shares weigh less' test "$(file a cpu.weight)" -lt "$(file b cpu.weight)"
check 'as much swap as memory' run -d --name c --memory 32m busybox sleep 1000
same 'in the file' $((32 << 20)) "$(file c memory.swap.max)"
check 'unlimited swap' run -d --name d --memory 32m --memory-swap -1 busybox sleep 1000
same 'is max' max "$(file d memory.swap.max)"
check 'an end to processes' run -d --name e --pids-limit -1 busybox sleep 1000
same 'is taken off' max "$(file e pids.max)"
$W rm -f -t 0 a b c d e >/dev/null

refused '--cpuset-cpus without its controller' 'needs the cgroup controller "cpuset"' run --rm --cpuset-cpus 0 busybox true
refused '--memory-swap below --memory' 'less than --memory' run --rm --memory 32m --memory-swap 16m busybox true

run --name oom --memory 16m --memory-swap 16m busybox tail /dev/zero >/dev/null 2>&1
same 'out of memory: status' 137 $?
same 'inspect says so' 'true 137' "$($W inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' oom)"
run -d --name fine --memory 16m busybox sleep 1000 >/dev/null && $W kill fine >/dev/null
eventually 'another container is killed' is fine exited
same 'not by memory, says inspect' 'false 137' "$($W inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' fine)"
$W rm oom fine >/dev/null
run --name survivor --memory 16m --memory-swap 16m -d busybox sh -c 'tail /dev/zero; sleep 1000' >/dev/null
killed() { grep -q '^oom_kill [1-9]' "$(group survivor)/memory.events"; }
eventually 'a child is killed' killed
same 'its container goes on' running "$(state_of survivor)"
$W rm -f -t 0 survivor >/dev/null

out=$(run --rm --pids-limit 6 busybox sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo all of them' 2>&1)
case $out in *"all of them"*) fail "8 children with --pids-limit 6: $out" ;; *fork*) echo 'ok   fork fails above --pids-limit' ;; *) fail "no word of fork: $out" ;; esac
check 'and below it does not' run --rm --pids-limit 6 busybox sh -c 'for i in 1 2 3 4; do sleep 0.1 & done; wait'

usage() { sed -n 's/^usage_usec //p' "$(group "$1")/cpu.stat"; }
run -d --name busy --cpus 0.3 busybox sh -c 'while :; do :; done' >/dev/null
a=$(usage busy) s=$(date +%s%N) && sleep 3 && b=$(usage busy) e=$(date +%s%N)
share=$(((b - a) * 100000 / (e - s)))
say "--cpus 0.3 was given $share % of a cpu"
if [ $share -lt 20 ] || [ $share -gt 36 ]; then fail "--cpus 0.3: $share %"; fi
echo 'ok   --cpus holds'
$W rm -f -t 0 busy >/dev/null
run -d --name more --cpu-shares 2048 busybox sh -c 'while :; do :; done' >/dev/null
run -d --name less --cpu-shares 256 busybox sh -c 'while :; do :; done' >/dev/null
a=$(usage more) c=$(usage less) && sleep 3 && b=$(usage more) d=$(usage less)
say "--cpu-shares 2048 and 256 were given $(((b - a) / 1000)) and $(((d - c) / 1000)) ms"
check '--cpu-shares hold' test $((b - a)) -gt $((3 * (d - c)))
check 'rm' $W rm -f -t 0 more less

run -d --name again --restart on-failure:2 --memory 16m --memory-swap 16m busybox tail /dev/zero >/dev/null
eventually 'restarted after running out of memory, then given up' is again exited
same 'twice' '2 true' "$($W inspect -f '{{.RestartCount}} {{.State.OOMKilled}}' again)"
$W rm -f again >/dev/null
same 'no group is left' 0 "$(find $groups -type d -name 'wherry-*' | wc -l)"
check 'system check' $W system check
