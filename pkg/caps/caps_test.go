package caps

import (
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	all := ^Set(0)
	for _, c := range []struct {
		add, drop, want string
		permitted       Set
		fails           bool
	}{
		{"", "ALL", "", all, false},
		{"net_admin", "all", "CAP_NET_ADMIN", all, false},
		{"", "", "CAP_CHOWN", setOf([]string{"CAP_CHOWN"}), false},
		{"SYS_TIME", "", "", setOf([]string{"CAP_CHOWN"}), true},
		{"nosuch", "", "", all, true},
		{"ALL", "chown", "CAP_KILL", setOf([]string{"CAP_CHOWN", "CAP_KILL"}), false},
	} {
		got, err := Resolve(strings.Fields(c.add), strings.Fields(c.drop), false, c.permitted)
		if (err != nil) != c.fails || strings.Join(got, " ") != c.want {
			t.Errorf("add %q drop %q: %v, %v", c.add, c.drop, got, err)
		}
	}
	if got, _ := Resolve(nil, nil, false, all); len(got) != 14 {
		t.Errorf("Docker gives 14, not %v", got)
	}
}
