package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFor(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"own/monitors", "given"} {
		os.MkdirAll(filepath.Join(root, dir), 0o755)
	}
	for _, dir := range []string{"own", "given", ""} {
		os.WriteFile(filepath.Join(root, dir, "cgroup.procs"), nil, 0o644)
		os.WriteFile(filepath.Join(root, dir, "cgroup.controllers"), []byte("memory pids\n"), 0o644)
	}
	plain := Facts{Version: 2, Manager: Cgroupfs, Base: "/base", Own: "/own", Controllers: []string{"cpu"}}
	byUser := Facts{Version: 2, Rootless: true, Manager: Cgroupfs, Base: "/u/user@7.service/user.slice/wherry.scope", Slice: "user.slice", Own: "/own"}
	none := Facts{Version: 2, Manager: Disabled, Why: "no bus"}
	outside := byUser
	outside.Outside = true
	for name, c := range map[string]struct {
		facts Facts
		want  Want
		path  string // of the container's group, or part of the error
	}{
		"nothing asked":          {plain, Want{ID: "1"}, "/base/wherry-1"},
		"enabled":                {plain, Want{ID: "1", Mode: Enabled}, "/base/wherry-1"},
		"disabled":               {plain, Want{ID: "1", Mode: Off}, ""},
		"disabled without one":   {none, Want{ID: "1", Mode: Off}, ""},
		"below":                  {plain, Want{ID: "1", Parent: "a/b"}, "/base/a/b/wherry-1"},
		"absolute":               {plain, Want{ID: "1", Parent: "/given/new/deep"}, "/given/new/deep/wherry-1"},
		"upwards":                {plain, Want{ID: "1", Parent: "../x"}, "without . and .."},
		"with a colon":           {plain, Want{ID: "1", Parent: "a:b"}, "without . and .."},
		"the monitors'":          {byUser, Want{ID: "1", Parent: "monitors/x"}, "of the monitors"},
		"below a scope":          {byUser, Want{ID: "1", Parent: "x"}, "/u/user@7.service/user.slice/wherry.scope/x/wherry-1"},
		"systemd":                {byUser, Want{ID: "1", Manager: BySystemd}, "/u/user@7.service/user.slice/wherry-1.scope/container"},
		"slice":                  {byUser, Want{ID: "1", Parent: "a-b.slice"}, "/u/user@7.service/a.slice/a-b.slice/wherry-1.scope/container"},
		"systemd with a path":    {byUser, Want{ID: "1", Manager: BySystemd, Parent: "a"}, "it is a slice"},
		"systemd missing":        {plain, Want{ID: "1", Manager: BySystemd}, "systemd does not run here"},
		"slice without systemd":  {plain, Want{ID: "1", Parent: "x.slice"}, "--cgroup-parent=x.slice needs systemd"},
		"broken slice":           {byUser, Want{ID: "1", Parent: "a--b.slice"}, "not the name of a slice"},
		"cgroupfs":               {byUser, Want{ID: "1", Manager: ByCgroupfs}, "/wherry-1"},
		"cgroupfs as root":       {Facts{Version: 2, Manager: Cgroupfs, Base: "/s/wherry.scope", Slice: "s", Own: "/own"}, Want{ID: "1", Manager: ByCgroupfs}, "/wherry-1"},
		"cgroupfs with a slice":  {byUser, Want{ID: "1", Manager: ByCgroupfs, Parent: "x.slice"}, "does without"},
		"split":                  {byUser, Want{ID: "1", Mode: Split}, "/own/wherry-1"},
		"no-conmon from outside": {outside, Want{ID: "1", Mode: NoMonitor}, "systemd-run --user --scope"},
		"no-conmon":              {byUser, Want{ID: "1", Mode: NoMonitor}, "/u/user@7.service/user.slice/wherry.scope/wherry-1"},
		"no groups at all":       {none, Want{ID: "1", Parent: "x"}, "no control group here: no bus"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := c.facts.in(root, c.want)
			got := f.SpecPath("1")
			if err != nil {
				got = err.Error()
			}
			if err == nil && got != c.path || err != nil && (c.path == "" || !strings.Contains(got, c.path)) {
				t.Errorf("got %s, want %s", got, c.path)
			}
		})
	}
	again := byUser
	again.Own = "/own/monitors"
	if f, err := again.in(root, Want{ID: "1", Mode: Split}); err != nil || f.SpecPath("1") != "/own/wherry-1" || !slices.Equal(f.Controllers, []string{"memory", "pids"}) {
		t.Errorf("split a second time: %v %v", f.SpecPath("1"), err)
	}
}

func TestDeclined(t *testing.T) {
	f, err := Facts{Version: 2, Manager: Cgroupfs, Controllers: []string{"memory"}}.For(Want{Mode: Off})
	if err != nil || f.Manager != Disabled || f.Has("memory") {
		t.Fatalf("%+v %v", f, err)
	}
	if text := f.Missing("memory", "--memory").Error(); !strings.Contains(text, "asks for no control group") || !strings.Contains(text, "leave one of the two out") {
		t.Error(text)
	}
}

func TestScopeUnit(t *testing.T) {
	f, err := Facts{Version: 2, Manager: Cgroupfs, Base: "/system.slice/wherry.scope", Slice: "system.slice"}.For(Want{ID: "9", Parent: "my.slice"})
	if u := f.Scope(); err != nil || u.Name != "wherry-9.scope" || f.Slice != "my.slice" {
		t.Errorf("%+v %v", u, err)
	}
}
