package dns

import "testing"

// FuzzServers: the host's resolv.conf, as its resolvers are taken from it.
func FuzzServers(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver ::ffff:1.2.3.4"))
	f.Fuzz(func(t *testing.T, data []byte) {
		servers := parseServers(data)
		if len(servers) > maxServers {
			t.Errorf("%d servers", len(servers))
		}
		for _, s := range servers {
			if !s.IsValid() || s.Is4In6() {
				t.Errorf("%v", s)
			}
		}
	})
}
