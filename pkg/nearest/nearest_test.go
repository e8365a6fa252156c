package nearest

import "testing"

func TestOf(t *testing.T) {
	words := []string{"busybox", "nginx", "redis", "web"}
	for _, c := range []struct{ word, want string }{
		{"busybx", "busybox"}, {"ngnix", "nginx"}, {"wbe", "web"}, {"xyz", ""}, {"nginy", "nginx"}, {"web1", "web"}, {"wb", "web"}, {"postgres", ""}, {"", ""}, {"redis", ""},
	} {
		if got := Of(c.word, words); got != c.want {
			t.Errorf("Of(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b        string
		bound, want int
	}{{"kitten", "sitting", 3, 3}, {"a", "abcdef", 2, 3}, {"", "ab", 2, 2}, {"same", "same", 1, 0}} {
		if got := distance(c.a, c.b, c.bound); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
