#!/bin/bash
# guest: ns
# The journal and syslog where systemd runs: lines go there and come back, followed, bounded, of binary content; events too.
# flag: run, create --log-driver --log-opt
# flag: logs --follow --since --until --tail --timestamps --details
# flag: events --since --until --stream --filter --format
# flag: (global) --events-backend
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
have_image
run="$W run --network none"

check 'log to the journal' $run --name a --log-driver journald --label role=x --log-opt labels=role --log-opt 'tag={{.Name}}-tag' \
  busybox sh -c 'echo one; sleep 0.05; echo two >&2; sleep 0.05; printf "a\001b\n"; sleep 0.05; printf part'
id=$($W inspect -f '{{.Id}}' a)
of() { journalctl -q -o json --all "CONTAINER_ID_FULL=$id"; }
eventually 'journald has the last line' sh -c "journalctl -q -o cat CONTAINER_ID_FULL=$id | grep -q part"
of >/tmp/entries
for field in CONTAINER_NAME:a SYSLOG_IDENTIFIER:a-tag CONTAINER_TAG:a-tag IMAGE_NAME:busybox ROLE:x "CONTAINER_ID:${id:0:12}"; do
  same "each entry says $field" 5 "$(grep -c "\"${field%%:*}\":\"${field#*:}\"" /tmp/entries)"
done
same 'standard error is of another priority' 1 "$(grep -c '"PRIORITY":"3"' /tmp/entries)"
same 'logs reads standard output' "one $(printf 'a\001b') part" "$($W logs a 2>/dev/null | tr '\n' ' ' | sed 's/ $//')"
same 'and standard error' two "$($W logs a 2>&1 >/dev/null)"
same 'the last line' part "$($W logs --tail 1 a 2>&1)"
same 'the last two' "$(printf 'a\001b\npart')" "$($W logs --tail 2 a 2>&1)"
same 'none' '' "$($W logs --tail 0 a 2>&1)"
same 'with details' 'role=x one' "$($W logs --details a 2>/dev/null | head -1)"
same 'with the time' 1 "$($W logs -t a 2>/dev/null | head -1 | grep -cE '^[0-9-]{10}T[0-9:.]{18}Z? ?.* one$')"
same 'what was before now is left out' '' "$($W logs --since 0s a 2>&1)"
same 'and what is not old enough' '' "$($W logs --until 1h a 2>&1)"

check 'a long line is one line' $run --name long --log-driver journald busybox sh -c 'head -c 50000 /dev/zero | tr "\0" y; echo'
eventually 'it comes back whole' sh -c "test \$($W logs long | wc -c) = 50001"
same 'also as the last one' 50001 "$($W logs --tail 1 long | wc -c)"

check 'a container that goes on' $run -d --name f --log-driver journald busybox sh -c 'for i in 1 2 3 4 5; do echo tick $i; sleep 0.1; done; echo last'
same 'is followed to its end' 'tick 1 tick 2 tick 3 tick 4 tick 5 last ' "$(timeout 20 $W logs -f f | tr '\n' ' ')"
start=$(date +%s%N)
same 'following what has ended ends' 'tick 5 last ' "$(timeout 20 $W logs -f --tail 2 f | tr '\n' ' ')"
[ $((($(date +%s%N) - start) / 1000000)) -lt 1500 ] || fail 'it waited for more'
check 'started again' $W start f
same 'the last line and what follows' 'last tick 1 tick 2 tick 3 tick 4 tick 5 last ' \
  "$(timeout 20 $W logs -f f | tr '\n' ' ' | grep -o 'last tick 1 .*last $')"

check 'a container that writes a lot' $run --name many --log-driver journald busybox sh -c 'i=0; while [ $i -lt 800 ]; do echo line $i; i=$((i+1)); done'
eventually 'not a line is lost' sh -c "test \$($W logs many | wc -l) = 800"

check 'log to syslog' $run --name s --log-driver syslog --log-opt tag=wherry-s busybox echo hello-syslog
eventually 'journald took it from /dev/log' sh -c 'journalctl -q -t wherry-s -o cat | grep -qx hello-syslog'
refused 'logs cannot read it' 'keeps nothing to read' $W logs s

export WHERRY_EVENTS=journald
check 'events to the journal' $run --rm --name e busybox true
eventually 'come back' sh -c "$W events --since 1h --stream=false --filter container=e --format '{{.Action}}' | tr '\n' ' ' | grep -qx 'create attach start die destroy '"
$W events --filter container=g --filter event=die --format '{{.Name}} {{.ContainerExitCode}}' >/tmp/events 2>&1 &
follower=$!
sleep 0.5
$run --name g busybox sh -c 'exit 4'
eventually 'and are followed' grep -qx 'g 4' /tmp/events
kill $follower
same 'the log of a container holds no event' 0 "$(of | grep -c WHERRY_EVENT)"
unset WHERRY_EVENTS
same 'by default they are in a file' 1 "$($W --events-backend file events --since 1h --stream=false --filter container=f --filter event=create --format '{{.Name}}' | grep -c '^f$')"
