package flagtable

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReferenceMerges(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "docker.txt", "# comment: --x\nrun: --memory/-m --cpus\n")
	write(t, dir, "podman.txt", "volume ls:\nrun: --network/--net --memory/-m\n")
	commands, err := Reference(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range commands {
		for _, f := range c.Flags {
			got = append(got, c.Path+" "+f.Name+"/"+f.Letter+" "+strings.Join(f.Of, "+"))
		}
	}
	want := "run cpus/ docker, run memory/m docker+podman, run net/ podman, run network/ podman"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMarks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a_test.go", "// flag: run --memory --cpus\nfunc TestA(t *testing.T) {\n\t// flag: stop, container prune --force\n}\n// flag: rename\nfunc TestB(\n")
	write(t, dir, "b.txtar", "# flag: run --memory\n")
	write(t, dir, "c.go", "// flag: run --no\n")
	marks, err := Collect(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, flag, want string }{
		{"run", "memory", "TestA b.txtar"}, {"run", "cpus", "TestA"}, {"stop", "force", "TestA"},
		{"container prune", "force", "TestA"}, {"rename", "", "TestB"}, {"run", "no", ""},
	} {
		if got := strings.Join(marks[c.command][c.flag], " "); got != c.want {
			t.Errorf("%s --%s: %q, want %q", c.command, c.flag, got, c.want)
		}
	}
	write(t, dir, "d_test.go", "// flag: run --lost\n")
	if _, err := Collect(dir); err == nil {
		t.Error("a mark without a test is taken")
	}
}

func TestRenderSaysWhatIsOpen(t *testing.T) {
	text := Render([]Section{{Path: "run", Rows: []Row{
		{Flag: Flag{Name: "a", Letter: "b", Of: []string{"docker"}}, Known: true, Tests: []string{"T1", "T2", "T3", "T4"}},
		{Flag: Flag{Name: "c"}, Refusal: "--c is x|y"},
		{Flag: Flag{Name: "d"}, Known: true},
		{Flag: Flag{Name: "e"}},
	}}, {Path: "volume mount", Missing: `"wherry volume mount" is not there yet`}})
	for _, want := range []string{"| `--a`, `-b` | docker | works: T1, T2, T3 and 1 more |", `--c is x\|y`, "not proven**", "unknown**",
		"| [run](#run) | 4 | 1 | 1 |", "2 flags are not proven", "volume mount\" is not there yet"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
