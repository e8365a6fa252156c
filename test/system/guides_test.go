package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/wherry-containers/wherry/pkg/testkit"
	"github.com/wherry-containers/wherry/test/registry"
)

// guide is one way through what people learn first. Its images and the home directory are its own.
type guide struct {
	s        *testkit.Store
	home     string
	env      []string
	registry string // stands for the public one, in pulls, and for localhost:5000
}

// step is one command of a guide. Its file in testdata/guides says by the first sign of a line:
//
//	$ command    it succeeds
//	% command    the same on a terminal, on which a person types exit
//	& command    it runs until it has shown something, and is interrupted then
//	: command    not wherry's: it prepares the next ones, and must succeed
//	  = text     the output of the command above has this
//	  ! text     the command above fails, with one line that has this
//	  ? text     it succeeds, or fails so where the machine does not offer it
//
// A command goes on in the next line after a backslash. Host ports from 1024 on are replaced by free ones, and the registry at
// localhost:5000 by ours.
type step struct {
	line        int
	kind        byte
	command     string
	shows       []string
	fails, must string
}

// What the guides of others tell people to type works as typed, with wherry linked as docker: every command about containers,
// images, volumes and networks, in their order.
func TestGuides(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/guides/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			g := newGuide(t)
			for _, s := range steps(t, string(text)) {
				g.follow(t, s)
			}
		})
	}
}

func steps(t *testing.T, text string) (all []*step) {
	t.Helper()
	more := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case more:
			all[len(all)-1].command += "\n" + line
			more = strings.HasSuffix(line, `\`)
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "  "):
			last, word := all[len(all)-1], line[4:]
			switch line[2] {
			case '=':
				last.shows = append(last.shows, word)
			case '!':
				last.must = word
			case '?':
				last.fails = word
			default:
				t.Fatalf("line %d: %q", i+1, line)
			}
		default:
			all = append(all, &step{line: i + 1, kind: line[0], command: line[2:]})
			more = strings.HasSuffix(line, `\`)
		}
	}
	return all
}

// stands are the images that the guides take from a registry or have built, each with its command. The small image's shell does
// for all of them.
var stands = map[string]string{
	"hello-world":                         `CMD ["echo","Hello from Docker!"]`,
	"nginx":                               `CMD ["sh","-c","httpd -p 80; echo started; trap 'exit 0' TERM; sleep 1000 & wait"]`,
	"busybox":                             `CMD ["sh"]`,
	"ubuntu":                              `CMD ["bash"]`,
	"httpd:2":                             `CMD ["true"]`,
	"wordchain:test":                      `ENTRYPOINT ["echo"]`,
	"node:14":                             waits,
	"redis":                               waits,
	"postgres":                            waits,
	"postgres:13":                         waits,
	"mysql:8.0":                           waits,
	"registry:2":                          waits,
	"myapp":                               waits,
	"myapp:1.0":                           waits,
	"webapp":                              waits,
	"debugapp":                            waits,
	"spkane/train-os":                     `CMD ["true"]`,
	"multiarch/qemu":                      `CMD ["true"]`,
	"example/docker-node-hello":           waits,
	"registry.example.com/team/image:tag": waits,
}

const waits = `CMD ["sh","-c","env; echo ready; trap 'exit 0' TERM INT; sleep 1000 & wait"]`

// own are those that the guides' readers have made themselves: they are in no registry.
var own = regexp.MustCompile(`^(myapp|webapp|debugapp|wordchain|example)`)

func newGuide(t *testing.T) *guide {
	t.Helper()
	reg := registry.Start(t, registry.Options{})
	g := &guide{s: ownStore(t), home: dir(t), registry: reg.Host}
	bin := filepath.Join(g.home, "bin")
	conf := ""
	for _, name := range []string{"docker.io", "registry.example.com"} {
		conf += fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n", name, reg.Host)
	}
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(g.s.Bin, filepath.Join(bin, "docker")),
		os.WriteFile(filepath.Join(g.home, "registries.conf"), []byte(conf), 0o644)); err != nil {
		t.Fatal(err)
	}
	g.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + g.home, "API_KEY=key", "CONTAINERS_REGISTRIES_CONF=" + filepath.Join(g.home, "registries.conf")}
	g.s = g.s.With(g.env...)
	g.stock(t)
	return g
}

// stock fills the registry, and leaves the guide's own images in the store.
func (g *guide) stock(t *testing.T) {
	t.Helper()
	tar := filepath.Join(g.home, "image.tar")
	script := func(name, text string) entry {
		return entry{name: name, content: "#!/bin/sh\n" + text + "\n", mode: 0o755}
	}
	if err := writeImage(tar, []entry{script("bin/bash", `exec sh "$@"`), script("bin/htpasswd", `echo "$2:hash"`), script("bin/stress", `echo "$@"`)}); err != nil {
		t.Fatal(err)
	}
	g.s.Must(t, "rmi", testkit.Image)
	for name, change := range stands {
		g.s.Must(t, "import", "--change", change, "--change", `LABEL maintainer=anna@example.com`, tar, name)
		if !own.MatchString(name) {
			there := "library/" + name
			if strings.Contains(name, "/") {
				there = strings.TrimPrefix(name, "registry.example.com/")
			}
			there = g.registry + "/" + there
			g.s.Must(t, "tag", name, there)
			g.s.Must(t, "push", "-q", "--tls-verify=false", there)
			g.s.Must(t, "rmi", name, there)
		}
	}
}

var hostPort = regexp.MustCompile(`(-p |published=)(\d{4,})`)

func (g *guide) follow(t *testing.T, s *step) {
	t.Helper()
	command := hostPort.ReplaceAllStringFunc(s.command, func(text string) string {
		return hostPort.FindStringSubmatch(text)[1] + freePort(t)
	})
	command = strings.NewReplacer("localhost:5000", g.registry, "127.0.0.1:5000", g.registry).Replace(command)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.WaitDelay = g.home, time.Second
	cmd.Env = append(append(os.Environ(), "WHERRY_DATA="+g.s.Data, "WHERRY_RUN="+g.s.Run), g.env...)
	var err error
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	switch s.kind {
	case '$', ':':
		err = cmd.Run()
	case '%':
		if err = onPty(cmd, &out); err != nil {
			errs.Write(out.Bytes()) // a terminal has both
		}
	case '&':
		err = untilShown(ctx, cmd, &out, s)
	default:
		t.Fatalf("line %d: no such kind %q", s.line, s.kind)
	}
	if ctx.Err() != nil {
		t.Fatalf("line %d: it does not end: %s\n%s%s", s.line, command, out.String(), errs.String())
	}
	s.judge(t, command, out.String(), errs.String(), err)
}

// judge compares with what the guide's file says.
func (s *step) judge(t *testing.T, command, out, errs string, err error) {
	t.Helper()
	wanted := s.must + s.fails
	failed := err != nil || strings.HasPrefix(errs, "Error: ") // of a command before a pipe only the message is seen
	if at := strings.Index(errs, "Error: "); at >= 0 {
		errs = errs[at:] // after the progress of a pull or push
	}
	lines := strings.Count(strings.TrimSpace(errs), "\n") + 1
	switch {
	case !failed && s.must != "":
		t.Errorf("line %d: must fail: %s\n%s", s.line, command, out)
	case failed && wanted == "":
		t.Errorf("line %d: %v: %s\n%s%s", s.line, err, command, out, errs)
	case failed && (!strings.Contains(errs, wanted) || lines > 2):
		t.Errorf("line %d: wants one line with %q: %s\n%s", s.line, wanted, command, errs)
	}
	for _, text := range s.shows {
		if !strings.Contains(out+errs, text) {
			t.Errorf("line %d: does not show %q: %s\n%s%s", s.line, text, command, out, errs)
		}
	}
}

// onPty runs the command on a terminal and types exit.
func onPty(cmd *exec.Cmd, out *bytes.Buffer) error {
	cmd.Stdout, cmd.Stderr = nil, nil
	master, err := pty.Start(cmd)
	if err != nil {
		return err
	}
	defer master.Close()
	if _, err := master.WriteString("exit\r"); err != nil {
		return err
	}
	out.ReadFrom(master) // ends with the terminal, by an error of the kernel's
	return cmd.Wait()
}

// untilShown interrupts the command, and what it has started, when it has shown something. That is no failure.
func untilShown(ctx context.Context, cmd *exec.Cmd, out *bytes.Buffer, s *step) error {
	cmd.Stdout = nil
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Args[2] = "exec " + cmd.Args[2]
	if err := cmd.Start(); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		n, err := pipe.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			return cmd.Wait()
		}
		if shown := len(s.shows) == 0 || strings.Contains(out.String(), s.shows[0]); shown {
			break
		}
	}
	cmd.Process.Signal(os.Interrupt)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code := strconv.Itoa(exit.ExitCode())
		if code == "-1" || code == "130" || code == "0" {
			return nil
		}
	}
	return err
}
