package libpod

import (
	"strings"
	"testing"
)

func TestEnvWish(t *testing.T) {
	image := []string{"PATH=/bin", "LANG=C", "A=image"}
	for _, c := range []struct {
		wish EnvWish
		user []string
		want string
	}{
		{EnvWish{}, nil, "PATH=/bin LANG=C A=image"},
		{EnvWish{}, []string{"A=1", "LANG"}, "PATH=/bin A=1"},
		{EnvWish{Host: []string{"A=host", "B=host"}}, nil, "A=image B=host PATH=/bin LANG=C"},
		{EnvWish{Merge: []string{"A=${A}-x", "N=$NONE"}}, nil, "PATH=/bin LANG=C A=image-x N="},
		{EnvWish{Unset: []string{"LANG", "HOSTNAME"}}, nil, "PATH=/bin A=image LANG HOSTNAME"},
		{EnvWish{Unset: []string{"A"}}, []string{"A=mine"}, "PATH=/bin LANG=C A=mine"},
		{EnvWish{Unset: []string{"PATH"}}, nil, "LANG=C A=image PATH"},
		{EnvWish{UnsetAll: true}, []string{"PATH=/x", "Z=1"}, "PATH=/x Z=1 HOSTNAME TERM HOME container container_uuid"},
	} {
		if got := strings.Join(c.wish.merge(image, c.user), " "); got != c.want {
			t.Errorf("%+v with %v:\n got %s\nwant %s", c.wish, c.user, got, c.want)
		}
	}
}
