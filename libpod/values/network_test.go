package values

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/libpod/record"
)

func showPorts(ports []record.Port) string {
	var all []string
	for _, p := range ports {
		all = append(all, fmt.Sprintf("%s|%d-%d|%d/%s", p.HostIP, p.HostPort, p.HostPortEnd, p.ContainerPort, p.Protocol))
	}
	return strings.Join(all, " ")
}

func TestPublish(t *testing.T) {
	for in, want := range map[string]string{
		"80":                                    "|0-0|80/tcp",
		"8080:80":                               "|8080-0|80/tcp",
		"8080:80/udp":                           "|8080-0|80/udp",
		":80":                                   "|0-0|80/tcp",
		"127.0.0.1:8080:80":                     "127.0.0.1|8080-0|80/tcp",
		"127.0.0.1::80":                         "127.0.0.1|0-0|80/tcp",
		"127.0.0.1:80":                          "127.0.0.1|0-0|80/tcp",
		"localhost:8080:80":                     "127.0.0.1|8080-0|80/tcp",
		"[::1]:8080:80":                         "::1|8080-0|80/tcp",
		"[::]:80":                               "::|0-0|80/tcp",
		"8000-8001:80-81":                       "|8000-0|80/tcp |8001-0|81/tcp",
		"8000-8010:80":                          "|8000-8010|80/tcp",
		"80-81":                                 "|0-0|80/tcp |0-0|81/tcp",
		"127.0.0.1:1-2:3-4/TCP":                 "127.0.0.1|1-0|3/tcp 127.0.0.1|2-0|4/tcp",
		"65535:65535":                           "|65535-0|65535/tcp",
		"mode=ingress,published=8080,target=80": "|8080-0|80/tcp",
		"target=53,protocol=udp":                "|0-0|53/udp",
		"published=8080":                        "!",
		"target=80,mode=swarm":                  "!",
		"target=80,target=81":                   "!",
		"target=80,port=81":                     "!",
		"0:80":                                  "!",
		"65536:80":                              "!",
		"":                                      "!",
		"a":                                     "!",
		"1:2:3:4":                               "!",
		"80/icmp":                               "!",
		"80/sctp":                               "!",
		"2-1:80":                                "!",
		"1-2:1-3":                               "!",
		"[::1:80":                               "!",
		"[]:80:80":                              "!",
		"999.1.1.1:80:80":                       "!",
		"+1:80":                                 "!",
		"[fe80::1%eth0]:8080:80":                "!",
	} {
		got, err := Publish(in)
		switch {
		case want == "!" && err == nil:
			t.Errorf("%q: %s, want an error", in, showPorts(got))
		case want != "!" && (err != nil || showPorts(got) != want):
			t.Errorf("%q: %s, %v; want %s", in, showPorts(got), err, want)
		}
	}
}

func FuzzPublish(f *testing.F) {
	for _, s := range []string{"80", "127.0.0.1:8080:80/udp", "[::1]:1-5:2-6", "8000-8010:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := Publish(s)
		if err == nil && len(ports) == 0 {
			t.Errorf("%q: neither ports nor an error", s)
		}
		for _, p := range ports {
			if p.ContainerPort == 0 || p.HostPortEnd != 0 && p.HostPortEnd < p.HostPort {
				t.Errorf("%q: %+v", s, p)
			}
		}
	})
}

func TestNetworkForms(t *testing.T) {
	for in, want := range map[string]string{
		"none": "none [] []", "host": "host [] []", "ns:/run/x": "ns:/run/x [] []", "container:web": "container:web [] []",
		"bridge": "bridge [] [{bridge []  [] }]", "default": "bridge [] [{bridge []  [] }]", "": "bridge [] [{bridge []  [] }]",
		"web:ip=10.1.2.3,alias=db,alias=sql,interface_name=lan0,mac=02:00:00:00:00:01": "bridge [] [{web [10.1.2.3] 02:00:00:00:00:01 [db sql] lan0}]",
		"name=web,alias=db":                     "bridge [] [{web []  [db] }]",
		"pasta:--map-gw,-t,8080":                "pasta [--map-gw -t 8080] []",
		"slirp4netns:mtu=1500,enable_ipv6=true": "slirp4netns [--mtu=1500 --enable-ipv6] []",
		"none:x":                                "!", "host:x": "!", "ns:rel": "!", "container:": "!", "web:ip=1": "!", "web:mac=01:00:00:00:00:00": "!", "web:foo=1": "!",
		"web:ip": "!", "a/b": "!", "pasta:--netns=x": "!", "slirp4netns:x=1": "!", "slirp4netns:port_handler=rootlesskit": "!", "web:interface_name=averylonginterface": "!", "name=": "!",
	} {
		n, err := Network(in)
		got := fmt.Sprint(n.Mode, " ", n.Options, " ", n.Ends)
		if want == "!" && err == nil || want != "!" && (err != nil || got != want) {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add("web:ip=10.1.2.3,alias=db")
	f.Add("name=web,mac=02:00:00:00:00:01")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Network(s)
		if err == nil && n.Mode == "" {
			t.Errorf("%q: no mode", s)
		}
	})
}

func TestExpose(t *testing.T) {
	for in, want := range map[string]string{"80": "[80/tcp]", "53/udp": "[53/udp]", "7-8/sctp": "[7/sctp 8/sctp]", "x": "!", "80/x": "!", "9-8": "!"} {
		got, err := Expose(in)
		if want == "!" && err == nil || want != "!" && (err != nil || fmt.Sprint(got) != want) {
			t.Errorf("%q: %v, %v; want %s", in, got, err, want)
		}
	}
}
