package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit/shell"
)

func testEnv() *cmdkit.Env {
	return &cmdkit.Env{Program: "wherry", Getenv: func(string) string { return "" }, Environ: func() []string { return nil }}
}

// What is in docs/man and contrib/completions is what the table gives.
func TestDocsAreFresh(t *testing.T) {
	compare(t, "../../docs/man", shell.Pages(testEnv(), table()))
	compare(t, "../../contrib/completions", shell.ScriptFiles())
}

func compare(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s/%s is stale: run make docs", dir, name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := files[e.Name()]; !ok {
			t.Errorf("%s/%s belongs to no command: run make docs", dir, e.Name())
		}
	}
}

// Every command says what it does, no name means two commands or flags, and no alias hides another.
func TestTable(t *testing.T) {
	var visit func(path string, entries []cmdkit.Entry)
	visit = func(path string, entries []cmdkit.Entry) {
		seen := map[string]bool{}
		for _, e := range entries {
			for _, name := range strings.Fields(e.Names) {
				if seen[name] {
					t.Errorf("two commands are called %q", path+" "+name)
				}
				seen[name] = true
			}
			if e.New != nil {
				checkCommand(t, path+" "+e.Name(), e.New(testEnv()))
			}
			visit(path+" "+e.Name(), e.Sub)
		}
	}
	visit("wherry", table().Entries)
}

func checkCommand(t *testing.T, path string, cmd *cli.Command) {
	t.Helper()
	if cmd.Usage == "" && !strings.Contains(path, "__") {
		t.Errorf("%s has no usage line", path)
	}
	seen := map[string]bool{}
	for _, f := range cmd.Flags {
		for _, name := range f.Names() {
			if seen[name] {
				t.Errorf("%s has two flags called %q", path, name)
			}
			seen[name] = true
		}
	}
	for _, doc := range cmdkit.DocumentFlags(cmd.Flags) {
		if doc.Usage == "" {
			t.Errorf("%s --%s has no usage line", path, doc.Names[0])
		}
	}
}

// Every flag that Docker's and Podman's run and create have is known: it works, or it says that it is not there yet.
func TestRunKnowsEveryFlag(t *testing.T) {
	known := map[string]bool{"help": true}
	for _, e := range table().Entries {
		if e.Name() == "run" {
			for _, f := range e.New(testEnv()).Flags {
				for _, name := range f.Names() {
					known[name] = true
				}
			}
		}
	}
	data, err := os.ReadFile("testdata/run-flags")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(data)) {
		if !known[name] {
			t.Errorf("run does not know --%s", name)
		}
	}
}

func TestCompletion(t *testing.T) {
	data := t.TempDir()
	os.MkdirAll(filepath.Join(data, "names"), 0o700)
	os.Symlink("x", filepath.Join(data, "names", "web"))
	os.MkdirAll(filepath.Join(data, "volumes", "db"), 0o700)
	env := testEnv()
	env.Getenv = func(name string) string {
		return map[string]string{"WHERRY_DATA": data, "WHERRY_RUN": t.TempDir(), "HOME": data}[name]
	}
	for line, want := range map[string]string{
		"ru":                "run\tMake a container and run a command in it",
		"--root x ru":       "run\tMake a container and run a command in it",
		"container li":      "",
		"stop ":             "web",
		"stop -t 5 w":       "web",
		"stop --sig":        "--signal\tSIGNAL to send, by name or number",
		"run --pull ":       "always missing never newer",
		"run --pull=m":      "--pull=missing",
		"run --name x img ": ":files",
		"run --env-file ":   ":files",
		"volume rm ":        "db",
		"run --pod":         "",
		"exec web -":        ":files",
		"completion ":       "bash zsh fish",
		"__comp":            "",
		"nothing ":          "",
	} {
		got := strings.Join(shell.Candidates(env, table(), strings.Split(line, " ")), " ")
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
