#!/bin/bash
# guest: uml
# Limits of the steps of a build, on a kernel that has the controllers; and what is left of a build that is killed.
# flag: build --memory --memory-swap --cpuset-cpus --cpuset-mems --cpu-period --cpu-quota --cpu-shares --cgroup-parent --resource
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
have_image
mkdir -p context
# build COMMAND FLAGS...: a step with the command, anew.
build() {
  local step=$1
  shift
  printf 'FROM busybox\nRUN %s\n' "$step" | $W build --progress plain --no-cache --network none -f - "$@" context 2>&1
}
# said COMMAND FLAGS...: what the command wrote.
said() { build "$@" | sed -n 's/^#[0-9]* [0-9.]* said //p'; }
file() { local name=$1; shift; said "echo said \$(cat /sys/fs/cgroup/$name)" "$@"; }

same '--memory' $((64 << 20)) "$(file memory.max --memory 64m)"
same '--memory-swap, less --memory' $((32 << 20)) "$(file memory.swap.max --memory 64m --memory-swap 96m)"
same '--cpu-quota in --cpu-period' '20000 50000' "$(file cpu.max --cpu-period 50000 --cpu-quota 20000)"
same '--resource' $((48 << 20)) "$(file memory.max --resource memory=48m)"
same 'no limit' max "$(file memory.max)"
check 'fewer shares weigh less' test "$(file cpu.weight --cpu-shares 512)" -lt "$(file cpu.weight)"
refused '--cpuset-cpus without its controller' 'needs the cgroup controller "cpuset"' build true --cpuset-cpus 0
refused '--cpuset-mems without its controller' 'needs the cgroup controller "cpuset"' build true --cpuset-mems 0
refused 'a step that takes more memory than it may' 'cannot allocate memory' build 'tail /dev/zero' --memory 16m --memory-swap 16m
refused 'a step that is killed otherwise' 'exit code: 137' build 'sh -c "kill -9 \$\$"; exit $?' --memory 64m

build 'echo said ready; sleep 1234567' --cgroup-parent steps >out &
eventually '--cgroup-parent' sh -c "find $groups -path '*steps/wherry-*/step' | grep -q ."
eventually 'the step is at work' pgrep -f 'sleep 1234567'
group=$(dirname "$(find $groups -path '*steps/wherry-*/step')")
builder=$(pgrep -f '^[^ ]*wherry.* build --progress' | head -1)
kill -9 "$builder"
eventually 'a killed builder takes the step with it' not pgrep -f 'sleep 1234567'
check 'the next step works' build true
check 'and has removed its group' test ! -e "$group"
check 'nothing is left' $W system check
