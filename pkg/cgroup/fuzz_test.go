package cgroup

import (
	"strings"
	"testing"
)

func FuzzParseOwn(f *testing.F) {
	f.Add("0::/user.slice/a.scope\n4:memory,cpu:/x:y\n")
	f.Add("1:name=systemd:/../..\n:::\n")
	f.Fuzz(func(t *testing.T, text string) {
		for controller, path := range parseOwn(text) {
			if strings.Contains(controller, ",") {
				t.Errorf("controller %q", controller)
			}
			if p := clean(path); !strings.HasPrefix(p, "/") || strings.Contains(p+"/", "/../") {
				t.Errorf("path %q leads out: %q", path, p)
			}
		}
	})
}
