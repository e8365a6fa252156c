package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Want is what one container asks of its control group; its zero value is what suits the host.
type Want struct {
	ID      string // of the container; used where it gets a scope of its own
	Manager string // systemd, cgroupfs, or empty
	Mode    string // enabled, disabled, no-conmon, split, or empty
	Parent  string // a path below the place of all containers, an absolute one, or a slice of systemd
}

// The modes of --cgroups, and the managers of --cgroup-manager.
const (
	Enabled   = "enabled"
	Off       = "disabled"
	NoMonitor = "no-conmon"
	Split     = "split"

	BySystemd  = "systemd"
	ByCgroupfs = "cgroupfs"
)

// For returns the facts as they are for one container.
func (f Facts) For(w Want) (Facts, error) { return f.in(Root, w) }

func (f Facts) in(root string, w Want) (Facts, error) {
	if w.Manager == "" && w.Parent == "" && (w.Mode == "" || w.Mode == Enabled) {
		return f, nil
	}
	if w.Mode == Off {
		return f.without(), nil
	}
	if f.Manager == Disabled {
		return f, errdefs.New(errdefs.ErrUnsupported, "%s: containers get no control group here: %s", w.flag(), f.Why)
	}
	f, err := f.managed(root, w)
	if err == nil && w.Parent != "" && !isSlice(w.Parent) {
		f, err = f.below(root, w.Parent)
	}
	if err != nil {
		return f, err
	}
	switch w.Mode {
	case NoMonitor:
		if f.Outside {
			return f, errdefs.New(errdefs.ErrUnsupported, "--cgroups=%s: the monitor would stay in this login session, which is no part of what "+
				"systemd delegates to you (start it with systemd-run --user --scope)", NoMonitor)
		}
		f.stay = f.Slice != ""
	case Split:
		return f.split(root)
	}
	return f, nil
}

// flag is what was asked for, for error texts.
func (w Want) flag() string {
	switch {
	case w.Parent != "":
		return "--cgroup-parent=" + w.Parent
	case w.Mode != "" && w.Mode != Enabled:
		return "--cgroups=" + w.Mode
	}
	return "--cgroup-manager=" + w.Manager
}

func (f Facts) without() Facts {
	f.Manager, f.Slice, f.Controllers, f.Outside, f.Swap = Disabled, "", nil, false, false
	f.declined, f.Why = true, "--cgroups=disabled asks for no control group"
	return f
}

// managed chooses who makes the group: a manager that was asked for, or the slice of systemd that is to hold it.
func (f Facts) managed(root string, w Want) (Facts, error) {
	slice := isSlice(w.Parent)
	switch {
	case w.Manager == ByCgroupfs && slice:
		return f, errdefs.New(errdefs.ErrInvalid, "--cgroup-parent=%s is a slice of systemd, which --cgroup-manager=cgroupfs does without (give a path)", w.Parent)
	case w.Manager == ByCgroupfs:
		return f.unmanaged(root)
	case w.Manager != BySystemd && !slice:
		return f, nil
	case f.Slice == "":
		return f, errdefs.New(errdefs.ErrUnsupported, "%s needs systemd and cgroup v2, and %s (leave it out)", w.flag(), f.noSystemd())
	case w.Parent != "" && !slice:
		return f, errdefs.New(errdefs.ErrInvalid, "--cgroup-parent=%s: with --cgroup-manager=systemd it is a slice, as in my.slice", w.Parent)
	}
	if slice {
		path, err := slicePath(w.Parent)
		if err != nil {
			return f, err
		}
		f.Base = filepath.Join(strings.TrimSuffix(f.Base, filepath.Join(f.Slice, scopeName)), path)
		f.Slice = w.Parent
	} else {
		f.Base = filepath.Dir(f.Base)
	}
	f.scope = prefix + w.ID + ".scope"
	f.Base = filepath.Join(f.Base, f.scope)
	return f, nil
}

func (f Facts) noSystemd() string {
	switch {
	case f.Version != 2:
		return "this host uses cgroup v1"
	case f.Rootless:
		return "no systemd of yours runs here"
	}
	return "systemd does not run here"
}

// unmanaged finds the place that a host without systemd would have.
func (f Facts) unmanaged(root string) (Facts, error) {
	if f.Slice == "" {
		return f, nil
	}
	d := detector{root: root, writable: writable}
	f.Slice, f.Outside, f.Manager, f.Controllers, f.Base = "", false, Disabled, nil, ""
	if f.Rootless {
		d.direct(&f, filepath.Join(root, f.Own))
	} else if writable(root) { // at the top: below a slice systemd would meddle with it
		f.Manager, f.Base, f.Controllers = Cgroupfs, "/", words(filepath.Join(root, "cgroup.controllers"))
	}
	if f.Manager == Disabled {
		return f, errdefs.New(errdefs.ErrUnsupported, "--cgroup-manager=cgroupfs: you may not make groups beside %s (leave it out: systemd gives a place)",
			filepath.Join(root, f.Own))
	}
	return f, nil
}

// below puts the container's group below a path: an absolute one, else one below the place of all containers.
func (f Facts) below(root, parent string) (Facts, error) {
	for _, part := range strings.Split(parent, "/") {
		if part == ".." || part == "." || strings.ContainsAny(part, ":\n\x00") {
			return f, errdefs.New(errdefs.ErrInvalid, "--cgroup-parent=%q: a path without . and .. and : is expected", parent)
		}
	}
	f.under = filepath.Clean(parent)
	if !filepath.IsAbs(f.under) {
		if first, _, _ := strings.Cut(f.under, "/"); first == monitorsDir && f.Slice != "" {
			return f, errdefs.New(errdefs.ErrInvalid, "--cgroup-parent=%s: that group is of the monitors (choose another name)", parent)
		}
		f.under = filepath.Join(f.Base, f.under)
		return f, nil
	}
	if f.Version != 2 {
		return f, nil
	}
	dir := filepath.Join(root, f.under)
	for !exists(dir) && dir != root {
		dir = filepath.Dir(dir)
	}
	if !writable(dir) || !writable(filepath.Join(dir, "cgroup.procs")) && dir != root {
		return f, errdefs.New(errdefs.ErrUnsupported, "--cgroup-parent=%s: you may not make groups in %s (give a path without the leading /, or run it as root)",
			parent, dir)
	}
	f.Controllers = words(filepath.Join(dir, "cgroup.controllers"))
	return f, nil
}

// split puts monitor and container below the group that this process is in, as in a unit of systemd with Delegate=yes.
func (f Facts) split(root string) (Facts, error) {
	f.Slice, f.Outside, f.under, f.scope, f.stay = "", false, "", "", false
	f.Base = f.Own
	if filepath.Base(f.Own) == monitorsDir { // moved there by a start before this one
		f.Base = filepath.Dir(f.Own)
	}
	dir := filepath.Join(root, f.Base)
	if f.Version != 2 || f.Base == "/" || !writable(dir) || !writable(filepath.Join(dir, "cgroup.procs")) {
		return f, errdefs.New(errdefs.ErrUnsupported, "--cgroups=split: the group %s is not delegated to you (use it in a unit of systemd with Delegate=yes)", f.Base)
	}
	f.Controllers, f.divided = words(filepath.Join(dir, "cgroup.controllers")), true
	return f, nil
}

// divide moves the processes of the group that is split into one below it: only a group without processes of its own
// can hand controllers down.
func (f Facts) divide(pid int) error {
	group := filepath.Join(Root, f.Base)
	monitors := filepath.Join(group, monitorsDir)
	if err := unix.Mkdir(monitors, 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	if err := write(monitors, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return err
	}
	for _, own := range words(filepath.Join(group, "cgroup.procs")) {
		if err := write(monitors, "cgroup.procs", own); err != nil {
			if _, gone := os.Stat("/proc/" + own); gone == nil {
				return fmt.Errorf("move process %s: %w", own, err)
			}
		}
	}
	return nil
}

func isSlice(parent string) bool {
	return strings.HasSuffix(parent, ".slice") && !strings.Contains(parent, "/")
}

// slicePath is where systemd has a slice: a-b.slice lies in a.slice.
func slicePath(name string) (string, error) {
	stem := strings.TrimSuffix(name, ".slice")
	if stem == "-" {
		return "", nil
	}
	parts := strings.Split(stem, "-")
	if slices.Contains(parts, "") || strings.ContainsAny(name, "\n\x00 ") {
		return "", errdefs.New(errdefs.ErrInvalid, "--cgroup-parent=%q is not the name of a slice", name)
	}
	path := ""
	for i := range parts {
		path = filepath.Join(path, strings.Join(parts[:i+1], "-")+".slice")
	}
	return path, nil
}

func writable(path string) bool { return unix.Access(path, unix.W_OK) == nil }

// Throttles tells whether the kernel can limit the rate of block devices. Only a group shows that, and the topmost has no
// such file: where there is no other yet it is taken for granted.
func (f Facts) Throttles(id string) bool {
	if f.Version != 2 {
		return true
	}
	for dir := filepath.Join(Root, filepath.Dir(f.SpecPath(id))); len(dir) > len(Root); dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "io.stat")) {
			return exists(filepath.Join(dir, "io.max"))
		}
	}
	return true
}
