#!/bin/bash
# guest: uml
# Limits on a kernel that has the controllers: in the files, and in what they do.
# flag: run, create --memory --memory-swap --memory-reservation --pids-limit --cpus --cpu-shares --cpu-period --cpu-quota --blkio-weight
# flag: run, create --cgroup-conf --cgroup-parent --cgroups
# flag: update --memory --memory-swap --memory-reservation --pids-limit --cpus --cpu-shares --cpu-period --cpu-quota --blkio-weight --restart
# flag: stats --no-stream --format --interval
# flag: (global) --cgroup-manager
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

check 'the processors in microseconds, and any file of the group' run -d --name f --cpu-period 50000 --cpu-quota 20000 --blkio-weight 300 \
  --cgroup-conf memory.high=50331648 --cgroup-conf pids.max=33 busybox sleep 1000
same '--cpu-quota in --cpu-period' '20000 50000' "$(file f cpu.max)"
same '--cgroup-conf memory.high' $((48 << 20)) "$(file f memory.high)"
same '--cgroup-conf over the default' 33 "$(file f pids.max)"
same '--blkio-weight' 'default 300' "$(file f io.bfq.weight)"
check 'update --blkio-weight' $W update --blkio-weight 500 --cpu-period 20000 --cpu-quota 5000 f
same 'update --cpu-quota and --cpu-period' '5000 20000' "$(file f cpu.max)"
same 'in the file, too' 'default 500' "$(file f io.bfq.weight)"
$W rm -f -t 0 f >/dev/null
refused '--device-read-bps on a kernel without' 'CONFIG_BLK_DEV_THROTTLING' run --rm --device-read-bps /dev/ubda:1mb busybox true
refused '--cgroup-conf of a controller that is not there' 'needs the cgroup controller "cpuset"' run --rm --cgroup-conf cpuset.cpus=0 busybox true
refused '--memory-swappiness' 'cgroup v2 has none' run --rm --memory-swappiness 10 busybox true
refused '--oom-kill-disable' 'cgroup v2 cannot' run --rm --oom-kill-disable --memory 32m busybox true
refused '--cpu-rt-runtime' 'v2 has no such limit' run --rm --cpu-rt-runtime 1000 busybox true

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

run -d --name up --memory 64m --cpus 0.5 --pids-limit 20 busybox sleep 1000 >/dev/null
check 'update of a running container' $W update --memory 96m --memory-swap 128m --memory-reservation 48m --cpus 0.25 --cpu-shares 256 --pids-limit 40 up
same 'update --memory' $((96 << 20)) "$(file up memory.max)"
same 'update --memory-swap' $((32 << 20)) "$(file up memory.swap.max)"
same 'update --memory-reservation' $((48 << 20)) "$(file up memory.low)"
same 'update --cpus' '25000 100000' "$(file up cpu.max)"
same 'update --pids-limit' 40 "$(file up pids.max)"
same 'inspect has it' "$((96 << 20)) 40" "$($W inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' up)"
check 'limits are taken off' $W update --memory 0 --memory-swap 0 --memory-reservation 0 --cpus 0 --cpu-shares 0 --pids-limit -1 up
same 'no memory limit' 'max max' "$(file up memory.max) $(file up memory.swap.max)"
same 'no cpu limit' 'max 100000' "$(file up cpu.max)"
same 'no limit of processes' max "$(file up pids.max)"
same 'shares as at the start' 100 "$(file up cpu.weight)"
refused 'update that contradicts itself' '--memory-swap needs --memory' $W update --memory-swap 1g up
check 'update before a restart' $W update --memory 80m up
check 'stop and start' $W restart -t 0 up
same 'the new limit holds after it' $((80 << 20)) "$(file up memory.max)"
check 'update of a stopped container' eval "$W stop -t 0 up && $W update --pids-limit 7 up && $W start up"
same 'holds when it starts' 7 "$(file up pids.max)"
$W rm -f -t 0 up >/dev/null
run -d --name mended --memory 100m --restart always busybox sleep 1000 >/dev/null
check 'update of a container that the monitor starts again' $W update --memory 200m mended
kill -9 "$(pid_of mended)"
again() { [ "$($W inspect -f '{{.RestartCount}} {{.State.Status}}' mended)" = '1 running' ]; }
eventually 'the monitor starts it again' again
same 'with the new limit, too' $((200 << 20)) "$(file mended memory.max)"
check 'a policy that is taken back' $W update --restart no mended
kill -9 "$(pid_of mended)"
eventually 'is not followed any more' is mended exited
$W rm -f mended >/dev/null

run -d --name seen --memory 64m --cpus 0.5 busybox sh -c 'sleep 1000 & while :; do :; done' >/dev/null
two() { [ "$(file seen pids.current)" = 2 ]; }
eventually 'a container at work' two
stat_of() { $W stats --no-stream "${@:2}" --format "$1" seen; }
same 'stats: processes' "$(file seen pids.current)" "$(stat_of '{{.PIDs}}')"
same 'stats: limit of memory' $((64 << 20)) "$(stat_of '{{.MemLimit}}')"
used=$(stat_of '{{.MemUsageBytes}}') && used=${used%% *}
real=$(($(file seen memory.current) - $(sed -n 's/^inactive_file //p' "$(group seen)/memory.stat")))
say "stats says $used bytes of memory, the kernel $real"
check 'stats: memory' test $((used > real ? used - real : real - used)) -lt 1000000
a=$(usage seen) s=$(date +%s%N) && said=$(stat_of '{{.CPUPerc}}' -i 2) && b=$(usage seen) e=$(date +%s%N)
share=$(((b - a) * 100000 / (e - s))) said=${said%.*}
say "stats says $said % of a processor, the kernel $share"
check 'stats: processor' test $((said > share ? said - share : share - said)) -lt 12
say "stats at a glance says $(stat_of '{{.CPUPerc}}')"
same 'stats: a line a container' '1 0' "$($W stats --no-stream --format json | wc -l) $($W stats --no-stream --format json | grep -vc '"Name":"seen"')"
$W rm -f -t 0 seen >/dev/null

below() { group_of "$(pid_of "$1")"; }
check 'a scope of its own' $W --cgroup-manager systemd run -d --name own --network none --memory 40m busybox sleep 1000
case $(below own) in */user.slice/wherry-*.scope/container) echo 'ok   it is a unit of systemd' ;; *) fail "not a unit: $(below own)" ;; esac
check 'systemd knows it' systemctl --user is-active "wherry-$($W inspect -f '{{.Id}}' own).scope"
same 'with the limit' $((40 << 20)) "$(file own memory.max)"
check 'exec and update in it' eval "$W exec own true && $W update --memory 50m own"
same 'the new one, too' $((50 << 20)) "$(file own memory.max)"
check 'a slice of systemd' run -d --name sliced --cgroup-parent wtest-a.slice busybox sleep 1000
case $(below sliced) in */wtest.slice/wtest-a.slice/wherry-*.scope/container) echo 'ok   holds it' ;; *) fail "not in the slice: $(below sliced)" ;; esac
check 'a path below' run -d --name deep --cgroup-parent team/one --memory 30m busybox sleep 1000
case $(below deep) in */wherry.scope/team/one/wherry-*) echo 'ok   holds it, too' ;; *) fail "not below: $(below deep)" ;; esac
same 'with its limit' $((30 << 20)) "$(file deep memory.max)"
check 'without systemd' systemd-run --user --wait --collect -q -p Delegate=yes --slice=app.slice $W --cgroup-manager cgroupfs run --rm --network none --memory 30m busybox true
check 'split' systemd-run --user --collect -q --unit split -p Delegate=yes $W run --name split --network none --cgroups split --memory 30m busybox sleep 1000
eventually 'a container in its unit' is split running
case $(below split) in */split.service/wherry-*) echo 'ok   beside its monitor' ;; *) fail "not in the unit: $(below split)" ;; esac
case $(group_of "$(parent_of "$(pid_of split)")") in */split.service/monitors) echo 'ok   that has a group, too' ;; *) fail 'the monitor is elsewhere' ;; esac
check 'no-conmon' systemd-run --user --scope -q --unit keeper -p Delegate=yes $W run -d --name keeper --network none --cgroups no-conmon busybox sleep 1000
case $(group_of "$(parent_of "$(pid_of keeper)")") in */keeper.scope) echo 'ok   the monitor stays' ;; *) fail "the monitor moved: $(group_of "$(parent_of "$(pid_of keeper)")")" ;; esac
case $(below keeper) in */wherry.scope/wherry-*) echo 'ok   the container does not' ;; *) fail "the container is in $(below keeper)" ;; esac
check 'no group' run -d --name bare --cgroups disabled busybox sleep 1000
same 'is that of the monitor' "$(group_of "$(parent_of "$(pid_of bare)")")" "$(below bare)"
refused 'a limit without a group' 'asks for no control group' run --rm --cgroups disabled --memory 30m busybox true
check 'rm' $W rm -f -t 0 own sliced deep split keeper bare

run -d --name again --restart on-failure:2 --memory 16m --memory-swap 16m busybox tail /dev/zero >/dev/null
eventually 'restarted after running out of memory, then given up' is again exited
same 'twice' '2 true' "$($W inspect -f '{{.RestartCount}} {{.State.OOMKilled}}' again)"
$W rm -f again >/dev/null
same 'no group is left' 0 "$(find $groups -type d -name 'wherry-*' | wc -l)"
check 'system check' $W system check
