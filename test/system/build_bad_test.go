package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// failing runs a build that must end with a status and say text in its last line, one that begins with Error.
func failing(t *testing.T, code int, text string, args ...string) testkit.Result {
	t.Helper()
	r := shared.Try(t, args...)
	lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
	last := lines[len(lines)-1]
	if strings.HasPrefix(last, "See '") && len(lines) > 1 {
		last = lines[len(lines)-2]
	}
	if r.Code != code || !strings.HasPrefix(last, "Error: ") || !strings.Contains(last, text) {
		t.Errorf("wherry %s: exit %d, want %d; the last line must say %q:\n%s", strings.Join(args, " "), r.Code, code, text, r.Stderr)
	}
	return r
}

func TestBuildFailingStep(t *testing.T) {
	t.Parallel()
	name := built(t)
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo fine\nRUN echo last words; exit 7\nRUN echo never\n"})
	r := failing(t, 7, "exit code: 7", "build", "--progress", "plain", "-t", name, context)
	for _, text := range []string{"Dockerfile:3\n", ">>> RUN echo last words; exit 7", "last words\n"} {
		if !strings.Contains(r.Stderr, text) {
			t.Errorf("the output does not have %q:\n%s", text, r.Stderr)
		}
	}
	if strings.Contains(r.Stderr, "RUN echo never\n#") || shared.Try(t, "image", "exists", name).Code == 0 {
		t.Error("the build went on after a step that failed")
	}
	fixed := recipe(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo fine\nRUN echo last words; exit 0\n"})
	if r := shared.Try(t, "build", "--progress", "plain", "-t", name, fixed); r.Code != 0 || ran(r) != 1 {
		t.Errorf("what was done before the failure is done again: exit %d\n%s", r.Code, r.Stderr)
	}
}

func TestBuildBadInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, dockerfile, text, line string
	}{
		{"unknown instruction", "FROM busybox\nRUM true\n", "unknown instruction: RUM (did you mean RUN?)", ">>> RUM true"},
		{"no argument", "FROM busybox\nENV\n", "ENV requires at least one argument", ">>> ENV"},
		{"unknown flag", "FROM busybox\nCOPY --chwon=1 a b\n", "unknown flag: --chwon (did you mean ch", ">>> COPY"},
		{"empty", "", "cannot be empty", ""},
		{"no FROM", "RUN true\n", "no build stage in current context", ">>> RUN"},
		{"stage", "FROM busybox AS build\nFROM busybox\nCOPY --from=buidl /a /b\n", "did you mean build?", ">>> COPY --from=buidl"},
		{"file", "FROM busybox\nCOPY nofile /\n", `"/nofile": not found`, ">>> COPY nofile"},
		{"ignored file", "FROM busybox\nCOPY ignored /\n", `"/ignored": not found (.dockerignore leaves it out)`, ">>> COPY ignored"},
		{"link out of the context", "FROM busybox\nCOPY out /\n", `not found`, ">>> COPY out"},
		{"other syntax", "# syntax=example.com/other/frontend\nFROM busybox\n", `"example.com/other/frontend" is not supported`, ""},
		{"working directory", "FROM busybox\nRUN true > /file\nWORKDIR /file/x\n", "/file", ">>> WORKDIR"},
		{"user", "FROM busybox\nUSER nosuchuser\nRUN true\n", "nosuchuser", ">>> RUN"},
		{"command", "FROM busybox\nRUN [\"/no/such/program\"]\n", "/no/such/program", ">>> RUN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			context := recipe(t, map[string]string{"Dockerfile": c.dockerfile, "ignored": "x", ".dockerignore": "ignored\n"})
			os.Symlink("/etc/hostname", filepath.Join(context, "out"))
			r := shared.Try(t, "build", "--progress", "plain", context)
			if r.Code == 0 || !strings.Contains(r.Stderr, c.text) || !strings.Contains(r.Stderr, c.line) {
				t.Errorf("exit %d; want %q and %q:\n%s", r.Code, c.text, c.line, r.Stderr)
			}
			lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "Error: ") || !strings.Contains(last, c.text) {
				t.Errorf("the last line is %q, want an error with %q", last, c.text)
			}
		})
	}
}

func TestBuildBadCommandLine(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox AS build\nRUN true\n"})
	for _, c := range []struct {
		code int
		text string
		args string
	}{
		{125, "no Containerfile or Dockerfile", "build " + dir(t)},
		{125, "there is no such directory", "build ./no-such-directory"},
		{125, "is a file: give it with --file", "build " + context + "/Dockerfile"},
		{125, "--file Nofile: there is no such file", "build -f Nofile " + context},
		{1, "did you mean build?", "build --target buidl " + context},
		{125, "--secret: the id is missing", "build --secret src=x " + context},
		{125, `unknown type "zip"`, "build -o type=zip " + context},
		{125, "a directory is needed", "build -o type=local " + context},
		{125, "a name is needed to push to", "build --push " + context},
		{125, "no builder", "build --builder x " + context},
		{125, "--tag", "build -t UPPER/case " + context},
		{125, "--build-context x=/no/such", "build --build-context x=/no/such " + context},
		{125, "--platform", "build --platform a/b/c/d " + context},
		{125, "invalid --memory", "build --memory lots " + context},
		{125, "is not supported: want registry", "build --cache-to type=moon,dest=x " + context},
		{125, "--attest", "build --attest type=x " + context},
		{125, "--allow", "build --allow everything " + context},
		{125, "--add-host", "build --add-host nocolon " + context},
		{125, "--call", "build --call nothing " + context},
		{125, "standard input cannot be both", "build -f - -"},
	} {
		failing(t, c.code, c.text, strings.Fields(c.args)...)
	}
}
