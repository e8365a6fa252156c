package logdriver

import (
	"strings"
	"testing"
)

// FuzzOptions: --log-driver and --log-opt.
func FuzzOptions(f *testing.F) {
	for _, s := range []string{"max-size 10m", "max-file -1", "tag {{.ID}}", "path /x", "syslog-address tcp://x:1", "max-size 999999999999999999999g", "max-size \xb9", "max-size 10\u212a"} {
		name, value, _ := strings.Cut(s, " ")
		f.Add("json-file", name, value)
		f.Add("syslog", name, value)
		f.Add("k8s-file", name, value)
	}
	f.Fuzz(func(t *testing.T, driver, name, value string) {
		o, err := Parse(driver, map[string]string{name: value})
		if err == nil && (o.MaxSize < 0 || o.MaxFile < 0) {
			t.Errorf("%s %s=%s: %+v", driver, name, value, o)
		}
	})
}
