package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/moby/buildkit/util/progress/logs"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/ownthread"
)

// git runs the program git on repositories that nobody vouches for. Nothing of this machine's configuration counts, no
// hook runs, nobody is asked anything, and only protocols of the network are spoken: no repository, and no submodule of
// one, brings in files of this machine.
type git struct {
	repo    string   // --git-dir; empty: none
	tree    string   // --work-tree, and where git runs; empty: none
	env     []string // beside the usual
	secrets *os.File // configuration with log-ins: a file without a name, so that neither a disk nor a list of processes shows it
	local   bool     // speak to a repository on this disk only
}

// Protocols that are spoken with others. file is not among them, nor is ext, which runs programs.
const protocols = "git:http:https:ssh"

// gitSettings hold for submodules too. An ordinary repository does not need any of what they forbid.
var gitSettings = []string{
	"core.hooksPath=/dev/null", // also against names that make git take a submodule's directory for one of hooks (CVE-2025-48384)
	"core.fsmonitor=false", "core.askPass=", "credential.helper=", "protocol.ext.allow=never",
	"gc.auto=0", "maintenance.auto=false", "init.defaultBranch=master", "advice.detachedHead=false", "submodule.recurse=false",
	"uploadpack.allowAnySHA1InWant=true",
}

func (g git) in(repo, tree string) git {
	g.repo, g.tree = repo, tree
	return g
}

// run runs git and returns what it wrote. What it says on the side goes to the log of the step.
func (g git) run(ctx context.Context, args ...string) (string, error) {
	var all []string
	for _, s := range gitSettings {
		all = append(all, "-c", s)
	}
	if g.repo != "" {
		all = append(all, "--git-dir", g.repo)
	}
	if g.tree != "" {
		all = append(all, "--work-tree", g.tree)
	}
	cmd := exec.Command("git", append(all, args...)...)
	cmd.Dir, cmd.Env = g.tree, g.environment()
	if cmd.Dir == "" {
		cmd.Dir = g.repo
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	var out, said bytes.Buffer
	stdout, stderr, flush := logs.NewLogStreams(ctx, false)
	defer flush()
	defer stdout.Close()
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = &out, &said
	if g.secrets != nil {
		cmd.ExtraFiles = []*os.File{g.secrets} // descriptor 3, as environment says
	}
	err := start(ctx, cmd)
	text := said.String()
	_, _ = io.WriteString(stderr, text)
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", errdefs.New(errdefs.ErrUnsupported, "git repositories need the program git, which is not installed (try: apt-get install git)")
	}
	return "", fmt.Errorf("git %s: %w: %s", args[0], err, lastLines(text))
}

func (g git) environment() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false", "GIT_ALLOW_PROTOCOL=" + protocols,
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if g.secrets != nil {
		env = append(env, "GIT_CONFIG_GLOBAL=/proc/self/fd/3")
	}
	if g.local {
		env = append(env, "GIT_ALLOW_PROTOCOL=file")
	}
	return append(env, g.env...)
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], "; ")
}

// start runs a program whose files others can read, whatever our own umask says, and that ends with us.
func start(ctx context.Context, cmd *exec.Cmd) error {
	return ownthread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		unix.Umask(0o022)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
		cmd.WaitDelay = time.Second
		if err := cmd.Start(); err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
		defer stop()
		return cmd.Wait()
	})
}

// logins makes the configuration that logs in at a remote; nil: there is none.
func logins(remote *url.URL, header string) (*os.File, error) {
	if header == "" && remote.User != nil {
		password, _ := remote.User.Password()
		header = "Authorization: basic " + base64.StdEncoding.EncodeToString([]byte(remote.User.Username()+":"+password))
	}
	if header == "" {
		return nil, nil
	}
	if strings.ContainsAny(header, "\n\r\x00") {
		return nil, errdefs.New(errdefs.ErrInvalid, "the secret for %s is more than one line", remote.Host)
	}
	fd, err := unix.MemfdCreate("git-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "git-config")
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	scope := (&url.URL{Scheme: remote.Scheme, Host: remote.Host, Path: "/"}).String()
	_, err = fmt.Fprintf(f, "[http \"%s\"]\n\textraheader = \"%s\"\n", quoted.Replace(scope), quoted.Replace(header))
	return f, err
}
