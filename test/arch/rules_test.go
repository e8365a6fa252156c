package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/test/source"
)

// TestRulesSeeWhatIsWrong gives each rule a small tree that breaks it.
func TestRulesSeeWhatIsWrong(t *testing.T) {
	const ours = source.Module
	long := "// Package x is.\npackage x\n\nfunc long() {\n" + strings.Repeat("\tprintln()\n", 121) + "}\n"
	knotted := "// Package x is.\npackage x\n\nfunc knot(a bool) {\n" +
		strings.Repeat("\tif a {\n", 8) + strings.Repeat("\t}\n", 8) + "}\n"
	for _, c := range []struct{ name, rule, file, text, want string }{
		{"leaf imports the engine", "import table", "pkg/x/x.go", "// Package x is.\npackage x\n\nimport _ \"" + ours + "/libpod\"\n", "imports libpod"},
		{"engine imports cmd", "import table", "libpod/x.go", "// Package x is.\npackage x\n\nimport _ \"" + ours + "/cmd/wherry/cmdkit\"\n", "imports cmd"},
		{"spec imports the engine", "import table", "libpod/spec/x.go", "// Package x is.\npackage x\n\nimport _ \"" + ours + "/libpod\"\n", "libpod/spec may import only"},
		{"leaf imports a front end", "import table", "pkg/x/x.go", "// Package x is.\npackage x\n\nimport _ \"" + ours + "/pkg/api\"\n", "front end"},
		{"unknown folder", "import table", "extra/x.go", "// Package x is.\npackage x\n", "not in the import table"},
		{"cli outside cmd", "reserved imports", "libpod/x.go", "// Package x is.\npackage x\n\nimport _ \"github.com/urfave/cli/v2\"\n", "imports github.com/urfave/cli/v2"},
		{"program in a leaf", "only these execute", "pkg/x/x.go", "// Package x is.\npackage x\n\nimport \"os/exec\"\n\nvar _ = exec.Command\n", "os/exec.Command"},
		{"execve in a leaf", "only these execute", "pkg/x/x.go", "// Package x is.\npackage x\n\nimport \"golang.org/x/sys/unix\"\n\nvar _ = unix.Exec\n", "unix.Exec"},
		{"podman's code", "reserved imports", "cmd/x/x.go", "// Package x is.\npackage x\n\nimport _ \"github.com/containers/podman/v5/libpod\"\n", "do not take code"},
		{"disk in spec", "spec and record pure", "libpod/spec/x.go", "// Package x is.\npackage x\n\nimport \"os\"\n\nvar _ = os.ReadFile\n", "os.ReadFile"},
		{"exit in a leaf", "only mains touch", "pkg/x/x.go", "// Package x is.\npackage x\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n", "os.Exit"},
		{"renamed os", "only mains touch", "pkg/x/x.go", "// Package x is.\npackage x\n\nimport o \"os\"\n\nvar a = o.Args\n", "os.Args"},
		{"init", "no init", "pkg/x/x.go", "// Package x is.\npackage x\n\nfunc init() {}\n", "init()"},
		{"no comment", "every package says what", "pkg/x/x.go", "package x\n", "no package comment"},
		{"empty name", "every package says what", "pkg/util/x.go", "// Package util is.\npackage util\n", "says nothing"},
		{"long file", "sizes", "pkg/x/x.go", "// Package x is.\npackage x\n" + strings.Repeat("\n", 600), "602 lines"},
		{"long function", "sizes", "pkg/x/x.go", long, "123 lines"},
		{"knotted function", "sizes", "pkg/x/x.go", knotted, "cognitive complexity 36"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := strings.Join(checks[c.rule](sample(t, c.file, c.text)), "\n")
			if !strings.Contains(wrong, c.want) {
				t.Errorf("rule %q says %q, want %q", c.rule, wrong, c.want)
			}
		})
	}
}

func sample(t *testing.T, name, text string) []*source.File {
	t.Helper()
	root := t.TempDir()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	files, err := source.Tree(root)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
