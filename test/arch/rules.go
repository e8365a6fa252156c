// Package arch checks the walls of the house: who may import whom, what only a main may do, and how long and how
// knotted a file or function may be. docs/ARCHITECTURE.md has the table in words; change the two together.
package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/test/source"
)

const (
	maxFileLines     = 600
	maxFunctionLines = 120
	maxCognitive     = 30
)

// table says for each folder which folders of ours it may import. The longest matching folder counts; a folder may
// always import what lies below itself, unless its entry is exact. "test/" code other than _test.go files falls under test.
var table = map[string][]string{
	"pkg":               {"pkg"},
	"pkg/api":           {"pkg", "libpod", "network", "buildah", "pods"},
	"pkg/swarm":         {"pkg", "libpod", "network", "buildah", "pods"},
	"network":           {"pkg"},
	"libpod":            {"libpod", "network", "pkg"},
	"libpod/record":     {"pkg"},
	"libpod/spec":       {"libpod/record", "pkg"},
	"libpod/ociruntime": {"libpod/record", "pkg"},
	"libpod/monitor":    {"libpod/record", "pkg"},
	"buildah":           {"libpod/record", "libpod/spec", "libpod/ociruntime", "network", "pkg"},
	"pods":              {"libpod", "network", "pkg"},
	"compose":           {"pkg", "buildah", "pods", "libpod", "network"},
	"cmd":               {"cmd", "compose", "pkg", "buildah", "pods", "libpod", "network"},
	"test":              {"test", "cmd", "compose", "pkg", "buildah", "pods", "libpod", "network"},
}

// mayExecute lists the folders whose subject is other programs: the only ones that start any.
var mayExecute = []string{
	"cmd",            // companions
	"libpod",         // the runtime and the monitor
	"network",        // pasta, slirp4netns, foreign CNI plugins
	"buildah/source", // git
	"pkg/endpoint",   // ssh
	"pkg/binfmt",     // tries whether programs of another processor run
	"pkg/logdriver",  // journald's reader
	"pkg/rootfs",     // fuse-overlayfs
	"pkg/rootless",   // newuidmap, newgidmap, nsenter, the pause process
	"pkg/testkit",
	"test",
}

// starters are the ways to start a program; looking one up is nobody's privilege.
var starters = map[string][]string{
	"os/exec":               {"Command", "CommandContext", "Cmd"},
	"os":                    {"StartProcess"},
	"syscall":               {"Exec", "ForkExec", "StartProcess"},
	"golang.org/x/sys/unix": {"Exec"},
}

// onlyFor lists imports that belong to some folders alone.
var onlyFor = map[string][]string{
	"github.com/urfave/cli/v2": {"cmd", "test"},
}

// forbidden are programs whose code we do not take.
var forbidden = []string{
	"github.com/containers/podman", "github.com/containers/buildah", "github.com/containerd/nerdctl",
	"github.com/docker/cli",
}

// madeOf are folders that may import one of the forbidden all the same: Compose's command tree takes a docker CLI, and
// what speaks to a docker elsewhere is Docker's own client.
var madeOf = map[string]string{"compose": "github.com/docker/cli", "cmd/wherry-remote": "github.com/docker/cli"}

// badNames say nothing about what is in a package.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared", "base"}

func addf(wrong []string, format string, args ...any) []string {
	return append(wrong, fmt.Sprintf(format, args...))
}

// within tells whether folder dir is one of roots or lies below one.
func within(dir string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return dir == root || strings.HasPrefix(dir, root+"/")
	})
}

// ruleFor finds the entry of table for a folder.
func ruleFor(dir string) (folder string, allowed []string, ok bool) {
	for d := dir; d != "." && d != "/"; d = path.Dir(d) {
		if allowed, ok = table[d]; ok {
			return d, allowed, true
		}
	}
	return "", nil, false
}

func importTable(files []*source.File) (wrong []string) {
	for _, f := range files {
		if f.Test {
			continue // a test may look at its package from above
		}
		folder, allowed, ok := ruleFor(f.Dir)
		if !ok {
			wrong = addf(wrong, "%s: folder %s is not in the import table", f.Path, f.Dir)
			continue
		}
		for _, imported := range f.Imports {
			ours, ok := strings.CutPrefix(imported, source.Module+"/")
			if ok && !within(ours, append([]string{folder}, allowed...)) {
				wrong = addf(wrong, "%s imports %s; %s may import only %s", f.Path, ours, folder, strings.Join(allowed, ", "))
			}
			if folder == "pkg" && ok && within(ours, []string{"pkg/api", "pkg/swarm"}) {
				wrong = addf(wrong, "%s imports %s, which is a front end, not a leaf", f.Path, ours)
			}
		}
	}
	return wrong
}

func reservedImports(files []*source.File) (wrong []string) {
	for _, f := range files {
		for _, imported := range f.Imports {
			if folders, ok := onlyFor[imported]; ok && !f.Test && !within(f.Dir, folders) {
				wrong = addf(wrong, "%s imports %s, which is for %s", f.Path, imported, strings.Join(folders, ", "))
			}
			if within(imported, forbidden) && !within(imported, []string{madeOf[f.Dir]}) {
				wrong = addf(wrong, "%s imports %s, which we do not take code from", f.Path, imported)
			}
		}
	}
	return wrong
}

func onlyTheseExecute(files []*source.File) (wrong []string) {
	for _, f := range files {
		if f.Test || within(f.Dir, mayExecute) {
			continue
		}
		for imported, names := range starters {
			f.Selectors(imported, func(selector string, line int) {
				if slices.Contains(names, selector) {
					wrong = addf(wrong, "%s:%d uses %s.%s; programs are started in %s", f.Path, line, imported, selector, strings.Join(mayExecute, ", "))
				}
			})
		}
	}
	return wrong
}

func pureFolders(files []*source.File) (wrong []string) {
	impure := []string{"os/exec", "net", "golang.org/x/sys/unix", "syscall"}
	for _, f := range files {
		if f.Test || !within(f.Dir, []string{"libpod/record", "libpod/spec"}) {
			continue
		}
		for _, imported := range f.Imports {
			if slices.Contains(impure, imported) {
				wrong = addf(wrong, "%s imports %s; it must stay a pure function of its input", f.Path, imported)
			}
		}
		f.Selectors("os", func(selector string, line int) {
			if selector != "FileMode" {
				wrong = addf(wrong, "%s:%d uses os.%s; no disk here", f.Path, line, selector)
			}
		})
	}
	return wrong
}

func onlyMains(files []*source.File) (wrong []string) {
	outside := []string{"Exit", "Stdout", "Args"}
	for _, f := range files {
		if f.Test || f.Syntax.Name.Name == "main" {
			continue
		}
		f.Selectors("os", func(selector string, line int) {
			if slices.Contains(outside, selector) {
				wrong = addf(wrong, "%s:%d uses os.%s, which only a main may; take it from the caller", f.Path, line, selector)
			}
		})
		f.Selectors("context", func(selector string, line int) {
			if selector == "TODO" {
				wrong = addf(wrong, "%s:%d uses context.TODO", f.Path, line)
			}
		})
	}
	return wrong
}

func noInit(files []*source.File) (wrong []string) {
	for _, f := range files {
		for _, fn := range f.Functions() {
			if fn.Name == "init" {
				wrong = addf(wrong, "%s:%d: init() runs before anyone asked; make it a constructor", f.Path, fn.Line)
			}
		}
	}
	return wrong
}

func packageComments(files []*source.File) (wrong []string) {
	said, named := map[string]bool{}, map[string]string{}
	for _, f := range files {
		name := f.Syntax.Name.Name
		if f.Test && !strings.HasPrefix(f.Dir, "test/") {
			continue
		}
		named[f.Dir] = name
		said[f.Dir] = said[f.Dir] || comment(f.Syntax)
	}
	for dir, name := range named {
		if !said[dir] {
			wrong = addf(wrong, "%s: package %s has no package comment", dir, name)
		}
		if slices.Contains(badNames, name) || slices.Contains(badNames, path.Base(dir)) {
			wrong = addf(wrong, "%s: a package called %s says nothing; name it after what it is", dir, name)
		}
	}
	return wrong
}

func comment(file *ast.File) bool {
	return file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != ""
}

func sizes(files []*source.File) (wrong []string) {
	for _, f := range files {
		if f.Lines > maxFileLines {
			wrong = addf(wrong, "%s has %d lines; at most %d", f.Path, f.Lines, maxFileLines)
		}
		for _, fn := range f.Functions() {
			if fn.Lines > maxFunctionLines {
				wrong = addf(wrong, "%s:%d: %s has %d lines; at most %d", f.Path, fn.Line, fn.Name, fn.Lines, maxFunctionLines)
			}
			if fn.Cognitive > maxCognitive {
				wrong = addf(wrong, "%s:%d: %s has cognitive complexity %d; at most %d", f.Path, fn.Line, fn.Name, fn.Cognitive, maxCognitive)
			}
		}
	}
	return wrong
}
