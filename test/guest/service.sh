#!/bin/bash
# guest: ns
# The units of the API's service: the first request starts it, it ends when nothing is asked, and containers stay.
# shellcheck source=test/guest/lib/guest.sh
. /host/test/guest/lib/guest.sh
have_image

units=$HOME/.config/systemd/user
mkdir -p "$units"
cp /host/contrib/systemd/wherry.socket "$units/"
sed -e 's|@BINDIR@|/host/bin|' -e 's/--time 60/--time 2/' /host/contrib/systemd/wherry.service.in >"$units/wherry.service"
sock=$XDG_RUNTIME_DIR/wherry/wherry.sock
# ask METHOD PATH [BODY]: the answer's status and body, by what every Debian has.
ask() {
  perl -MIO::Socket::UNIX -e 'my ($sock, $method, $path, $body) = @ARGV; $body //= ""; alarm 20;
    my $s = IO::Socket::UNIX->new(Peer => $sock) or die "$sock: $!";
    print $s "$method $path HTTP/1.0\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: ", length $body, "\r\n\r\n$body"; $s->flush;
    my $all = join "", <$s>; $all =~ m{^HTTP/1.. (\d+)}; my $status = $1; $all =~ s/.*?\r\n\r\n//s; print "$status $all"' "$sock" "$@"
}
status() { ask "$@" | cut -c1-3; }
up() { systemctl --user is-active -q wherry.service; }

check 'systemd takes the units' systemctl --user daemon-reload
check 'enable the socket' systemctl --user enable --now wherry.socket
same 'the socket is for its owner alone' 600 "$(stat -c %a "$sock")"
check 'nothing runs yet' not up
same 'a request is answered' '200 OK' "$(ask GET /_ping)"
check 'the service is up, and has said so' up
body='{"Image":"busybox","Cmd":["sleep","1000"],"HostConfig":{"NetworkMode":"none"}}'
same 'create a container' 201 "$(status POST '/containers/create?name=api' "$body")"
same 'start it' 204 "$(status POST /containers/api/start)"
same 'create another one' 201 "$(status POST '/containers/create?name=api2' "$body")"
same 'start it too' 204 "$(status POST /containers/api2/start)"
for name in api api2; do
  case $(group_of "$(pid_of $name)") in */wherry.scope/wherry-*) ;; *) fail "$name is in $(group_of "$(pid_of $name)")" ;; esac
done
same 'remove that one' 204 "$(status DELETE '/containers/api2?force=1')"
eventually 'nothing is asked: the service ends' not up
same 'in good order' success "$(systemctl --user show -P Result wherry.service)"
check 'the container runs' is api running
same 'a request brings it back' 200 "$(status GET /containers/api/json)"
check 'stop the service' systemctl --user stop wherry.service
check 'the container runs still' is api running
check 'rm' $W rm -f -t 0 api
check 'disable the socket' systemctl --user disable --now wherry.socket
