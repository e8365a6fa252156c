package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// line runs one command line and collects what came of it.
type line struct {
	t        *testing.T
	dirs     layout.Dirs
	verbs    *Verbs
	out, err bytes.Buffer
}

func newLine(t *testing.T) *line {
	t.Setenv("CONTAINERS_STORAGE_CONF", "/dev/null")
	dir := t.TempDir()
	return &line{t: t, dirs: layout.Dirs{Data: dir, Run: filepath.Join(dir, "run")}}
}

// run returns the exit status.
func (l *line) run(args ...string) int {
	l.out.Reset()
	l.err.Reset()
	env := &cmdkit.Env{Program: "wherry", Args: append([]string{"wherry"}, args...), In: strings.NewReader(""),
		Out: &l.out, Err: &l.err, Getenv: os.Getenv, Environ: os.Environ, Dirs: l.dirs}
	app := &cmdkit.App{Flags: func(*cmdkit.Env) []cli.Flag { return nil }, Entries: []cmdkit.Entry{
		{Names: "images", New: List}, {Names: "inspect", New: Inspect}, {Names: "history", New: History}, {Names: "exists", New: Exists},
		{Names: "pull", New: Pull}, {Names: "push", New: Push}, {Names: "load", New: Load}, {Names: "save", New: Save}, {Names: "import", New: Import},
		{Names: "rmi", New: Remove}, {Names: "tag", New: Tag}, {Names: "untag", New: Untag}, {Names: "prune", New: Prune},
		{Names: "search", New: Search}, {Names: "login", New: Login}, {Names: "logout", New: Logout},
	}}
	ctx := context.Background()
	if l.verbs != nil {
		ctx = WithVerbs(ctx, l.verbs)
	}
	return cmdkit.Report(env, app.Run(ctx, env))
}

// expect runs a line and compares its output.
func (l *line) expect(want string, args ...string) {
	l.t.Helper()
	if code := l.run(args...); code != 0 {
		l.t.Errorf("%v: exit %d: %s", args, code, &l.err)
	}
	if got := l.out.String(); got != want {
		l.t.Errorf("%v:\n%s\nwant\n%s", args, got, want)
	}
}

// refuse runs a line that must end with the status and one line of error that holds every word.
func (l *line) refuse(code int, words []string, args ...string) {
	l.t.Helper()
	if got := l.run(args...); got != code {
		l.t.Errorf("%v: exit %d, want %d: %s", args, got, code, &l.err)
	}
	for _, w := range words {
		if !strings.Contains(l.err.String(), w) {
			l.t.Errorf("%v: %q does not say %q", args, &l.err, w)
		}
	}
}

func hexID(digit string) string { return strings.Repeat(digit, 64) }

// fill writes two images in containers/storage's format.
func (l *line) fill() {
	images := []map[string]any{}
	layers := []map[string]any{{"id": hexID("1"), "diff-size": 4000000}, {"id": hexID("2"), "parent": hexID("1"), "diff-size": 500}}
	for i, img := range []struct{ digit, top, name string }{{"a", "2", "docker.io/library/app:1"}, {"b", "1", "quay.io/x/y:latest"}} {
		id := hexID(img.digit)
		images = append(images, map[string]any{"id": id, "names": []string{img.name}, "layer": hexID(img.top), "digest": "sha256:" + hexID("d"),
			"created": time.Now().Add(-time.Duration(i+1) * 2 * time.Hour)})
		l.put("overlay-images/"+id+"/="+base64.StdEncoding.EncodeToString([]byte("sha256:"+id)), map[string]any{"os": "linux", "architecture": "amd64",
			"config":  map[string]any{"Cmd": []string{"sh"}, "Labels": map[string]string{"who": img.digit}},
			"history": []map[string]any{{"created_by": "base"}, {"created_by": "CMD", "empty_layer": true}}})
	}
	for _, layer := range layers {
		if err := os.MkdirAll(filepath.Join(l.dirs.Graph(), "overlay", layer["id"].(string), "diff"), 0o700); err != nil {
			l.t.Fatal(err)
		}
	}
	l.put("overlay-images/images.json", images)
	l.put("overlay-layers/layers.json", layers)
}

func (l *line) put(name string, content any) {
	data, err := json.Marshal(content)
	path := filepath.Join(l.dirs.Graph(), name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestImages(t *testing.T) {
	l := newLine(t)
	l.expect("REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n", "images")
	l.fill()
	l.expect("REPOSITORY    TAG       IMAGE ID       CREATED       SIZE\n"+
		"app           1         aaaaaaaaaaaa   2 hours ago   4MB\n"+
		"quay.io/x/y   latest    bbbbbbbbbbbb   4 hours ago   4MB\n", "images")
	l.expect("aaaaaaaaaaaa\nbbbbbbbbbbbb\n", "images", "-q")
	l.expect("sha256:"+hexID("b")+"\n", "images", "-q", "--no-trunc", "quay.io/x/y")
	l.expect("quay.io/x/y:latest b\n", "images", "--format", `{{.Repository}}:{{.Tag}} {{index .Labels "who"}}`, "-f", "label=who=b")
	l.expect("bbbbbbbbbbbb\n", "images", "-q", "--filter", "before=app:1")
	l.expect("", "images", "--noheading", "--filter", "dangling=true")
	if l.run("images", "--format", "json"); strings.Count(l.out.String(), "\n") != 2 || !strings.Contains(l.out.String(), `"Repository":"app"`) {
		t.Errorf("json: %s", &l.out)
	}
	if l.run("images", "--digests"); !strings.Contains(l.out.String(), "sha256:"+hexID("d")) {
		t.Errorf("digests: %s", &l.out)
	}
	l.refuse(errdefs.ExitOurs, []string{"colour", "reference"}, "images", "-f", "colour=red")
	l.refuse(errdefs.ExitOurs, []string{"--sort", "repository"}, "images", "--sort", "colour")
	l.refuse(errdefs.ExitOurs, []string{"none"}, "images", "-f", "since=none")
}

func TestInspectHistoryExists(t *testing.T) {
	l := newLine(t)
	l.fill()
	l.expect("sha256:"+hexID("a")+" [sh] amd64\n", "inspect", "-f", "{{.Id}} {{.Config.Cmd}} {{.Architecture}}", "app:1")
	l.expect("<nil>\n", "inspect", "-f", "{{.Config.Healthcheck}}", "app:1")
	if code := l.run("inspect", "app:1", "none", "quay.io/x/y"); code != 1 || strings.Count(l.out.String(), `"Id"`) != 2 || !strings.Contains(l.err.String(), "none") {
		t.Errorf("exit %d: %s %s", code, &l.out, &l.err)
	}
	l.expect("aaaaaaaaaaaa\n<missing>\n<missing>\n", "history", "-q", "app:1")
	l.expect("500 \n0 CMD\n4000000 base\n", "history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", "app:1")
	l.expect("", "exists", "app:1")
	l.refuse(1, nil, "exists", "none")
	l.refuse(errdefs.ExitOurs, []string{"none"}, "history", "none")
}

// TestVerbsGetTheirOptions: what is typed reaches the companion's work, flags after operands and all.
func TestVerbsGetTheirOptions(t *testing.T) {
	var pulled option.Pull
	var names []string
	var removed option.Remove
	l := newLine(t)
	l.verbs = &Verbs{
		Pull: func(_ context.Context, _ *cmdkit.Env, list []string, o option.Pull) error {
			names, pulled = list, o
			return nil
		},
		Remove: func(_ context.Context, _ *cmdkit.Env, list []string, o option.Remove) error {
			names, removed = list, o
			return nil
		},
		Save: func(_ context.Context, _ *cmdkit.Env, list []string, _ option.Save) error { names = list; return nil },
	}
	l.expect("", "pull", "busybox", "--platform", "linux/arm64", "--tls-verify=false", "-q", "--retry", "7", "--policy", "newer", "--creds", "u:p")
	if len(names) != 1 || pulled.Arch != "arm64" || pulled.TLSVerify == nil || *pulled.TLSVerify || !pulled.Quiet || pulled.Max != 7 || pulled.Policy != "newer" || pulled.Creds != "u:p" {
		t.Errorf("%v %+v", names, pulled)
	}
	l.expect("", "pull", "a")
	if pulled.TLSVerify != nil || pulled.Max != 3 {
		t.Errorf("defaults: %+v", pulled)
	}
	l.expect("", "rmi", "a", "b", "-f", "--no-prune")
	if len(names) != 2 || !removed.Force || !removed.NoPrune {
		t.Errorf("%v %+v", names, removed)
	}
	l.expect("", "save", "-m", "a", "b")
	l.refuse(errdefs.ExitOurs, []string{"tag"}, "save", "--multi-image-archive=false", "a", "b")
	l.refuse(errdefs.ExitOurs, []string{"--all"}, "rmi")
	l.refuse(errdefs.ExitOurs, []string{"--all"}, "rmi", "-a", "x")
	l.refuse(errdefs.ExitOurs, []string{"--policy", "never"}, "pull", "--policy", "often", "x")
	l.refuse(errdefs.ExitOurs, []string{"--platform", "linux/arm64"}, "pull", "--platform", "a/b/c/d", "x")
	l.refuse(errdefs.ExitOurs, []string{"IMAGE"}, "pull")
	l.refuse(errdefs.ExitOurs, []string{"--sign-by"}, "push", "--sign-by", "me", "x")
}

// TestEveryVerbNeedsItsCompanion: without one a command says so instead of doing nothing.
func TestEveryVerbNeedsItsCompanion(t *testing.T) {
	l := newLine(t)
	for _, args := range [][]string{{"pull", "x"}, {"push", "x"}, {"load"}, {"save", "x"}, {"import", "-"}, {"rmi", "x"}, {"tag", "x", "y"},
		{"untag", "x"}, {"prune", "-f"}, {"search", "x"}, {"login"}, {"logout"}} {
		l.refuse(errdefs.ExitOurs, []string{"companion"}, args...)
	}
}
