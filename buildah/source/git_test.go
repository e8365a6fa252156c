package source

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/solver/pb"
)

// forge is a directory of repositories, served by git itself.
type forge struct {
	t        *testing.T
	dir      string
	server   *httptest.Server
	requests atomic.Int32
	wants    string // Authorization header that is demanded
}

func newForge(t *testing.T) *forge {
	t.Helper()
	backend := "/usr/lib/git-core/git-http-backend"
	if out, err := exec.Command("git", "--exec-path").Output(); err == nil {
		backend = filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	}
	if !exists(backend) {
		t.Skip("git with its http-backend is not installed")
	}
	f := &forge{t: t, dir: t.TempDir()}
	handler := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + f.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests.Add(1)
		if f.wants != "" && r.Header.Get("Authorization") != f.wants {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(f.server.Close)
	return f
}

func (f *forge) git(repo string, args ...string) string {
	f.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = filepath.Join(f.dir, repo)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "GIT_AUTHOR_DATE=2020-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2020-01-02T03:04:05Z"}
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		f.t.Fatalf("git %v: %v: %s", args, err, fault.String())
	}
	return strings.TrimSpace(out.String())
}

// commit makes a repository if need be, and a commit of files in it.
func (f *forge) commit(repo string, files map[string]string) string {
	f.t.Helper()
	if !exists(filepath.Join(f.dir, repo)) {
		noError(f.t, os.Mkdir(filepath.Join(f.dir, repo), 0o755))
		f.git(repo, "init", "-q")
		f.git(repo, "config", "uploadpack.allowAnySHA1InWant", "true")
	}
	write(f.t, filepath.Join(f.dir, repo), files)
	f.git(repo, "add", "-A")
	f.git(repo, "commit", "-q", "--allow-empty", "-m", "x")
	return f.git(repo, "rev-parse", "HEAD")
}

func (f *forge) source(repo, fragment string, attrs map[string]string) Source {
	f.t.Helper()
	all := map[string]string{pb.AttrFullRemoteURL: f.server.URL + "/" + repo}
	for k, v := range attrs {
		all[k] = v
	}
	id := "git://" + strings.TrimPrefix(f.server.URL, "http://") + "/" + repo
	if fragment != "" {
		id += "#" + fragment
	}
	s, err := Identify(&pb.SourceOp{Identifier: id, Attrs: all}, nil)
	noError(f.t, err)
	return s
}

func TestGit(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	first := f.commit("r", map[string]string{"file": "one", "sub/dir/file": "deep", "out": "-> ../../../../etc/passwd", "sub/link": "-> dir", "x/y": "z"})
	f.git("r", "tag", "-a", "-m", "note", "v1")
	f.git("r", "checkout", "-q", "-b", "feature/x")
	second := f.commit("r", map[string]string{"file": "two"})
	f.git("r", "checkout", "-q", "main")
	third := f.commit("r", map[string]string{"file": "three"})
	env := newEnv(t)
	for _, c := range []struct {
		name, fragment string
		attrs          map[string]string
		file, pin, err string
		git            bool
	}{
		{name: "default", file: "three", pin: third},
		{name: "branch", fragment: "feature/x", file: "two", pin: second},
		{name: "whole ref", fragment: "refs/heads/feature/x", file: "two", pin: second},
		{name: "tag", fragment: "v1", file: "one", pin: f.git("r", "rev-parse", "v1")},
		{name: "commit", fragment: first, file: "one", pin: first},
		{name: "subdir", fragment: "v1:sub/dir", file: "deep"},
		{name: "subdir above", fragment: "v1:../../sub/dir", file: "deep"},
		{name: "subdir behind a link", fragment: "v1:sub/link", err: "no directory"},
		{name: "no subdir", fragment: "v1:nope", err: "no directory"},
		{name: "keep", fragment: "feature/x", attrs: map[string]string{pb.AttrKeepGitDir: "true"}, file: "two", git: true},
		{name: "keep tag", fragment: "v1", attrs: map[string]string{pb.AttrKeepGitDir: "true"}, file: "one", git: true},
		{name: "keep commit", fragment: first, attrs: map[string]string{pb.AttrKeepGitDir: "true"}, file: "one", git: true},
		{name: "checksum", fragment: "feature/x", attrs: map[string]string{pb.AttrGitChecksum: second[:12]}, file: "two"},
		{name: "checksum of the tag's commit", fragment: "v1", attrs: map[string]string{pb.AttrGitChecksum: first}, file: "one"},
		{name: "another checksum", fragment: "main", attrs: map[string]string{pb.AttrGitChecksum: second}, err: "not " + second},
		{name: "by commit", fragment: "some", attrs: map[string]string{pb.AttrGitChecksum: second, pb.AttrGitFetchByCommit: "true"}, file: "two", pin: second},
		{name: "no ref", fragment: "nope", err: `no branch or tag "nope"`},
		{name: "commit time", fragment: "v1", attrs: map[string]string{pb.AttrGitMTime: "commit"}, file: "one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := f.source("r", c.fragment, c.attrs)
			key, pin, err := src.Key(t.Context(), env)
			if err != nil {
				says(t, err, c.err)
				return
			}
			tr, err := src.Fetch(t.Context(), env)
			says(t, err, c.err)
			if err != nil {
				return
			}
			if got := read(t, tr, "file"); got != c.file || key == "" || c.pin != "" && pin != c.pin {
				t.Errorf("file %q, key %q, pin %q", got, key, pin)
			}
			if exists(filepath.Join(tr.Dir, ".git")) != c.git {
				t.Errorf(".git there: %v", !c.git)
			}
			if c.git {
				checkKept(t, f, tr.Dir)
			}
			if info, err := os.Stat(filepath.Join(tr.Dir, "file")); err != nil || c.name == "commit time" && info.ModTime().Unix() != 1577934245 {
				t.Errorf("time %v, %v", info.ModTime(), err)
			}
		})
	}
	// What is checked out already needs no network for a commit, and no other one for a branch than the question.
	before := f.requests.Load()
	if _, err := f.source("r", first, nil).Fetch(t.Context(), env.next()); err != nil || f.requests.Load() != before {
		t.Errorf("%v, %d requests for what is here", err, f.requests.Load()-before)
	}
}

// checkKept looks at a .git directory that was kept: a repository in which nothing is changed, and which knows its remote.
func checkKept(t *testing.T, f *forge, dir string) {
	t.Helper()
	run := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "safe.directory=*"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := run("status", "--porcelain"); got != "" {
		t.Errorf("status %q", got)
	}
	if got := run("remote", "get-url", "origin"); got != f.server.URL+"/r" {
		t.Errorf("origin %q", got)
	}
	if exists(filepath.Join(dir, ".git", "FETCH_HEAD")) || strings.Contains(run("config", "--list"), "wherry") {
		t.Error("traces of the way it was made")
	}
}

func TestGitLogins(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.commit("r", map[string]string{"file": "one"})
	host := strings.TrimPrefix(f.server.URL, "http://")
	for _, c := range []struct {
		name, wants string
		secrets     map[string]string
		url         string
		attrs       map[string]string
		err         string
	}{
		{name: "token", wants: "basic eC1hY2Nlc3MtdG9rZW46dG9r", secrets: map[string]string{"GIT_AUTH_TOKEN": "tok"}},
		{name: "token of the host", wants: "basic eC1hY2Nlc3MtdG9rZW46dG9r", secrets: map[string]string{"GIT_AUTH_TOKEN." + host: "tok", "GIT_AUTH_TOKEN": "other"}},
		{name: "header", wants: "Bearer x\"y\\z", secrets: map[string]string{"GIT_AUTH_HEADER": "Bearer x\"y\\z"}},
		{name: "in the URL", wants: "basic dTpw", url: "http://u:p@" + host + "/r"},
		{name: "none", wants: "basic dTpw", err: "git ls-remote"},
		{name: "two lines", wants: "x", secrets: map[string]string{"GIT_AUTH_HEADER": "Bearer x\nHost: y"}, err: "more than one line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.wants = c.wants
			env := newEnv(t)
			values := map[string][]byte{}
			for k, v := range c.secrets {
				values[k] = []byte(v)
			}
			attach(t, env, secretsprovider.FromMap(values))
			attrs := map[string]string{pb.AttrAuthTokenSecret: "GIT_AUTH_TOKEN", pb.AttrAuthHeaderSecret: "GIT_AUTH_HEADER"}
			if c.url != "" {
				attrs[pb.AttrFullRemoteURL] = c.url
			}
			tr, err := f.source("r", "", attrs).Fetch(t.Context(), env)
			says(t, err, c.err)
			if err == nil && read(t, tr, "file") != "one" {
				t.Error("another file")
			}
			if err != nil && strings.Contains(err.Error(), "p@") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestGitSubmodules(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	f.commit("lib", map[string]string{"lib.c": "lib"})
	f.commit("r", map[string]string{"file": "one"})
	f.git("r", "submodule", "--quiet", "add", "--name", "lib", filepath.Join(f.dir, "lib"), "vendor/lib")
	f.git("r", "config", "-f", ".gitmodules", "submodule.lib.url", "../lib")
	f.commit("r", nil)
	for _, c := range []struct {
		name  string
		attrs map[string]string
		lib   bool
	}{
		{"with", nil, true},
		{"without", map[string]string{pb.AttrGitSkipSubmodules: "true"}, false},
		{"kept", map[string]string{pb.AttrKeepGitDir: "true"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, err := f.source("r", "", c.attrs).Fetch(t.Context(), newEnv(t))
			noError(t, err)
			if got := exists(filepath.Join(tr.Dir, "vendor/lib/lib.c")); got != c.lib {
				t.Errorf("submodule there: %v", got)
			}
			if got := exists(filepath.Join(tr.Dir, "vendor/lib/.git")); got != (c.name == "kept") {
				t.Errorf("its .git there: %v", got)
			}
		})
	}
}

// TestGitHostile has repositories that try to run something, or to bring in files of this machine.
func TestGitHostile(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	mark := filepath.Join(f.dir, "ran")
	hook := "#!/bin/sh\ntouch " + mark + "\n"
	private := filepath.Join(f.dir, "private")
	f.commit("private", map[string]string{"secret": "s3cret"})
	f.commit("lib", map[string]string{"lib.c": "lib", "hooks/post-checkout": hook})
	noError(t, os.Chmod(filepath.Join(f.dir, "lib/hooks/post-checkout"), 0o755))
	lib := f.commit("lib", nil)
	for name, c := range map[string]struct {
		modules string
		path    string
		links   map[string]string
		err     string // empty: either way is fine as long as nothing ran and nothing leaked
	}{
		"file url":       {modules: "url = file://" + private, path: "m", err: "transport 'file' not allowed"},
		"plain path":     {modules: "url = " + private, path: "m", err: "not allowed"},
		"ext":            {modules: "url = ext::sh -c touch% " + mark, path: "m", err: "not allowed"},
		"update command": {modules: "url = ../lib\n\tupdate = !touch " + mark, path: "m"},
		"option as url":  {modules: "url = -u./payload", path: "m"},
		"path above":     {modules: "url = ../lib", path: "../../m"},
		"into .git":      {modules: "url = ../lib", path: ".git/hooks"},
		// CVE-2025-48384: a path that ends in a carriage return, beside a link of the same name without it.
		"carriage return": {modules: "url = ../lib", path: "m\r", links: map[string]string{"m": "-> .git/modules/m/hooks"}},
		"link in the way": {modules: "url = ../lib", path: "a/m", links: map[string]string{"a": "-> .git"}},
	} {
		t.Run(name, func(t *testing.T) {
			repo := strings.ReplaceAll("h "+name, " ", "-")
			quoted := strings.NewReplacer("\r", "\r").Replace(c.path)
			files := map[string]string{"file": "x", ".gitmodules": fmt.Sprintf("[submodule \"m\"]\n\tpath = \"%s\"\n\t%s\n", quoted, c.modules)}
			for k, v := range c.links {
				files[k] = v
			}
			f.commit(repo, files)
			if !strings.HasPrefix(c.path, "..") && !strings.HasPrefix(c.path, ".git") && c.links["a"] == "" {
				f.git(repo, "update-index", "--add", "--cacheinfo", "160000,"+lib+","+c.path)
				f.git(repo, "commit", "-q", "-m", "module")
			}
			env := newEnv(t)
			tr, err := f.source(repo, "", nil).Fetch(t.Context(), env)
			if c.err != "" {
				says(t, err, c.err)
			}
			if exists(mark) {
				os.Remove(mark)
				t.Error("something of the repository was executed")
			}
			if err == nil {
				if out, _ := exec.Command("grep", "-r", "s3cret", tr.Dir).Output(); len(out) > 0 {
					t.Errorf("files of this machine came in: %s", out)
				}
			}
		})
	}
}

func TestGitIdentify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ id, full, err string }{
		{"github.com/a/b.git#main:sub", "https://github.com/a/b.git", ""},
		{"github.com/a/b.git", "git@github.com:a/b.git", ""},
		{"github.com/a/b.git", "ssh://git@github.com/a/b.git", ""},
		{"github.com/a/b.git", "https://evil.example/a/b.git", "another repository"},
		{"github.com/a/b.git", "https://github.com/a/c.git", "another repository"},
		{"github.com/a/b.git", "ext::sh -c id", "no URL"},
		{"github.com/a/b.git", "file:///a/b.git", "no URL"},
		{"github.com/a/b.git#--upload-pack=id", "https://github.com/a/b.git", "invalid ref"},
	} {
		_, err := Identify(&pb.SourceOp{Identifier: "git://" + c.id, Attrs: map[string]string{pb.AttrFullRemoteURL: c.full}}, nil)
		says(t, err, c.err)
	}
}

// TestGitWithoutAgent says what is missing for a repository that is reached by ssh.
func TestGitWithoutAgent(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	attach(t, env)
	attrs := map[string]string{pb.AttrFullRemoteURL: "git@127.0.0.1:a/b.git", pb.AttrMountSSHSock: "mine"}
	s, err := Identify(&pb.SourceOp{Identifier: "git://127.0.0.1/a/b.git", Attrs: attrs}, nil)
	noError(t, err)
	_, _, err = s.Key(t.Context(), env)
	says(t, err, "--ssh mine")
}

func FuzzParseRefs(f *testing.F) {
	f.Add("0123456789012345678901234567890123456789\trefs/heads/main\n", "main")
	f.Add("ref: refs/heads/main\tHEAD\n0123456789012345678901234567890123456789\tHEAD\n", "HEAD")
	f.Fuzz(func(t *testing.T, out, ref string) {
		if c, err := parseRefs(out, ref); err == nil && (c.Object == "" || c.Ref == "") {
			t.Errorf("%q in %q is %+v", ref, out, c)
		}
		if c, err := parseHead(out); err == nil && c.Object == "" {
			t.Errorf("head of %q is %+v", out, c)
		}
	})
}
