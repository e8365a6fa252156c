#!/bin/bash
# guest: ns
# A user's own systemd: one delegated scope holds all containers; what lives where, what survives what, what it costs.
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
service=/user.slice/user-1001.slice/user@1001.service
scope=$service/user.slice/wherry.scope
case $(group_of self) in $service/*) ;; *) fail "the job is not inside $service: $(group_of self)" ;; esac
have_image

check 'run without XDG_RUNTIME_DIR' env -u XDG_RUNTIME_DIR -u DBUS_SESSION_BUS_ADDRESS $W run --rm --network none busybox true
check 'run in the background' $W run -d --name a --network none busybox sleep 1000
pid=$(pid_of a) id=$($W inspect -f '{{.Id}}' a)
same 'the container has a group below the scope' "$scope/wherry-$id" "$(group_of "$pid")"
same 'its monitor is in the scope' $scope/monitors "$(group_of "$(parent_of "$pid")")"
same 'so is the pause process' $scope/monitors "$(group_of "$(cat /run/user/1001/wherry/pause | cut -d' ' -f1)")"
same 'the scope is delegated' yes "$(systemctl --user show -P Delegate wherry.scope)"
same 'no task limit is shared by all' infinity "$(systemctl --user show -P TasksMax wherry.scope)"
for i in 1 2 3; do $W run --rm --network none busybox true || fail "run $i"; done
same 'one unit, however many containers' 1 "$(systemctl --user list-units --all --no-legend 'wherry*' | wc -l)"
check 'exec' $W exec a true
check 'exec in the background' $W exec -d a sleep 77
eventually 'the exec is there' pgrep -f '^sleep 77'
same 'the exec is in the group' "$scope/wherry-$id" "$(group_of "$(pgrep -f '^sleep 77')")"

check 'pause' $W pause a
check 'the kernel says frozen' grep -q 'frozen 1' "$groups$scope/wherry-$id/cgroup.events"
same 'inspect says paused' paused "$(state_of a)"
check 'unpause' $W unpause a
check 'the kernel says thawed' grep -q 'frozen 0' "$groups$scope/wherry-$id/cgroup.events"
check 'stop' $W stop -t 0 a
eventually 'the group is gone after stop' test ! -e "$groups$scope/wherry-$id"
check 'start again' $W start a
check 'the group is back' test -e "$groups$scope/wherry-$id"
check 'rm of a running container' $W rm -f -t 0 a
eventually 'the group is gone after rm' test ! -e "$groups$scope/wherry-$id"

check 'run a container to lose its monitor' $W run -d --name b --network none busybox sleep 1000
pid=$(pid_of b) id=$($W inspect -f '{{.Id}}' b)
kill -9 "$(parent_of "$pid")"
same 'the container goes on without monitor' running "$(state_of b)"
check 'stop without monitor' $W stop -t 0 b
check 'rm without monitor' $W rm b
check 'its group is gone' test ! -e "$groups$scope/wherry-$id"
check 'nor does its process run' test ! -e "/proc/$pid"

check 'run one to be forgotten' $W run -d --name f --network none busybox sleep 1000
pid=$(pid_of f) id=$($W inspect -f '{{.Id}}' f)
kill -9 "$(parent_of "$pid")"
check 'as if everything was killed before it was noted' rm "/run/user/1001/wherry/c/$id/live.json"
check 'rm finds the process by its group' $W rm -f f
check 'and removes it' test ! -e "$groups$scope/wherry-$id"
check 'nor does that process run' test ! -e "/proc/$pid"

check 'run from a unit that ends' systemd-run --user --quiet --wait --collect $W run -d --init --name c --network none busybox sleep 1000
same 'the container survives the unit' running "$(state_of c)"
check 'run with a network from a unit that ends' systemd-run --user --quiet --wait --collect $W run -d --name n busybox sleep 1000
same 'the uplink lives on in the scope' $scope/monitors "$(group_of "$(net_process uplink)")"
same 'so does wherry-net' $scope/monitors "$(group_of "$(net_process net)")"
check 'rm' $W rm -f -t 0 n
check 'exec into it' $W exec c true
same 'its monitor does, too' $scope/monitors "$(group_of "$(parent_of "$(pid_of c)")")"

check 'run one that is always restarted' $W run -d --init --restart always --name d --network none busybox sleep 1000
before=$SECONDS
check 'stop the scope' systemctl --user stop wherry.scope
same 'it takes no time: nothing is started again' yes "$( ((SECONDS - before < 4)) && echo yes || echo $((SECONDS - before)) s)"
eventually 'the containers have ended with it' is c exited
eventually 'also the one' is d exited
same 'by the signal' 143 "$($W inspect -f '{{.State.ExitCode}}' d)"
check 'remove it' $W rm d
check 'a new scope is made at the next start' $W start c
same 'the container is in it' $scope "$(dirname "$(group_of "$(pid_of c)")")"
$W rm -f -t 0 c >/dev/null
systemctl --user stop wherry.scope
jobs=()
for i in 1 2 3 4 5 6 7 8; do $W run -d --name "m$i" --network none busybox sleep 1000 >/dev/null & jobs+=($!); done
for j in "${jobs[@]}"; do wait "$j" || fail 'eight first starts at once'; done
same 'eight first starts at once share a scope' 8 "$(find $groups$scope -mindepth 1 -maxdepth 1 -name 'wherry-*' | wc -l)"
check 'rm all' $W rm -f -t 0 m1 m2 m3 m4 m5 m6 m7 m8
same 'only the monitors'\'' group is left' monitors "$(cd $groups$scope && echo */ | tr -d /)"
check 'system check' $W system check

# What it costs: raw crun with a systemd scope each, with a group in our scope, and ours.
mkdir -p /tmp/raw/rootfs && tar -C /tmp/raw/rootfs -xf $image && cd /tmp/raw || fail 'a bundle'
crun spec --rootless && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/' config.json
raw() { crun --cgroup-manager="$1" run "raw-$1" </dev/null; }
for round in 1 2; do
  sed -i '/cgroupsPath/d' config.json
  say "round $round: raw crun run, systemd manager: $(each 15 raw systemd) us"
  sed -i "s#\"linux\": {#\"linux\": {\n\"cgroupsPath\": \"$scope/raw\",#" config.json
  say "round $round: raw crun run, group in the scope: $(each 15 raw cgroupfs) us"
  say "round $round: raw crun run, no group: $(each 15 raw disabled) us"
  say "round $round: wherry run --rm: $(each 15 $W run --rm --network none busybox true) us"
done
