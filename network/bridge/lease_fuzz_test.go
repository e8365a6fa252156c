package bridge

import "testing"

// FuzzLease: the targets of the links that are leases.
func FuzzLease(f *testing.F) {
	f.Add("0123 eth0 w0 12 345 boot")
	f.Add("a b c -1 99999999999999999999 ")
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := parseLease(s)
		if !ok || l.Owner.BootID == "" {
			return
		}
		if again, ok := parseLease(l.String()); !ok || again != l {
			t.Errorf("%q: %+v, %+v", s, l, again)
		}
	})
}
