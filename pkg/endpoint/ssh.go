package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

// secureShell is an ssh address.
type secureShell struct {
	user, host, port string
	path             string // of a socket there; empty: of the service of whoever logs in
	identity         string
}

func parseSSH(u *url.URL) (*secureShell, error) {
	s := &secureShell{host: u.Hostname(), port: u.Port(), path: u.Path}
	bad := func(why string) error {
		return errdefs.New(errdefs.ErrInvalid, "invalid address %q of a service: %s (want ssh://[USER@]HOST[:PORT][/PATH])", u.Redacted(), why)
	}
	if u.User != nil {
		s.user = u.User.Username()
		if _, has := u.User.Password(); has {
			return nil, bad("a password cannot be given in it: ssh uses keys")
		}
	}
	switch {
	case s.host == "":
		return nil, bad("it names no host")
	case strings.HasPrefix(s.host, "-") || strings.HasPrefix(s.user, "-"): // would be options of ssh
		return nil, bad("host and user do not begin with -")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, bad("nothing follows the path")
	}
	if s.path == "/" {
		s.path = ""
	}
	return s, nil
}

// args are ssh's. On the other side wherry speaks for its service; where there is only docker, docker does.
func (s *secureShell) args() []string {
	args := []string{"-T", "-o", "ConnectTimeout=30"}
	if s.user != "" {
		args = append(args, "-l", s.user)
	}
	if s.port != "" {
		args = append(args, "-p", s.port)
	}
	if s.identity != "" {
		args = append(args, "-i", s.identity)
	}
	host := ""
	if s.path != "" {
		host = " --host " + shellQuote("unix://"+s.path)
	}
	there := fmt.Sprintf("if command -v wherry >/dev/null 2>&1; then exec wherry%s system dial-stdio; else exec docker%s system dial-stdio; fi", host, host)
	return append(args, "--", s.host, "sh -c "+shellQuote(there))
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// dial starts ssh; its standard input and output are the connection.
func (s *secureShell) dial(context.Context) (net.Conn, error) {
	cmd := exec.Command("ssh", s.args()...) // lives as long as the connection, not as the dialling
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	asRealUser(cmd.SysProcAttr)
	c := &sshConn{cmd: cmd, host: s.host, done: make(chan struct{})}
	cmd.Stderr = &c.said
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start ssh: %w", err)
	}
	return c, nil
}

// asRealUser lets a program see the user outside in place of the namespace's root: ssh looks for keys in the home of the
// user that it runs as.
func asRealUser(attr *syscall.SysProcAttr) {
	if !realuser.Inside() || realuser.UID() == 0 {
		return
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: realuser.UID(), HostID: 0, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: realuser.GID(), HostID: 0, Size: 1}}
}

// sshConn is a connection through a running ssh.
type sshConn struct {
	cmd  *exec.Cmd
	host string
	in   io.WriteCloser
	out  io.ReadCloser
	said lastWords

	once sync.Once
	done chan struct{}
	got  bool
}

// Read reads what the service says; where it says nothing at all, ssh's own words are the error.
func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if n > 0 {
		c.got = true
	}
	if errors.Is(err, io.EOF) && !c.got {
		c.Close()
		if text := c.said.String(); text != "" {
			return n, fmt.Errorf("ssh to %s: %s", c.host, text)
		}
		return n, fmt.Errorf("ssh to %s: no answer", c.host)
	}
	return n, err
}

func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	if err != nil && !c.got {
		c.out.Close()
		c.Close()
		if text := c.said.String(); text != "" {
			return n, fmt.Errorf("ssh to %s: %s", c.host, text)
		}
	}
	return n, err
}

// CloseWrite tells the service that nothing more comes.
func (c *sshConn) CloseWrite() error { return c.in.Close() }

// closeTime is how long ssh may take to end when nothing more goes through it.
const closeTime = 3 * time.Second

// Close ends ssh.
func (c *sshConn) Close() error {
	c.once.Do(func() {
		c.in.Close()
		c.out.Close()
		kill := time.AfterFunc(closeTime, func() { c.cmd.Process.Kill() })
		go func() {
			c.cmd.Wait()
			kill.Stop()
			close(c.done)
		}()
	})
	<-c.done
	return nil
}

func (c *sshConn) LocalAddr() net.Addr  { return sshAddr("") }
func (c *sshConn) RemoteAddr() net.Addr { return sshAddr(c.host) }

// SetDeadline and its like go to the pipes, which know deadlines.
func (c *sshConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads.
func (c *sshConn) SetReadDeadline(t time.Time) error {
	if f, ok := c.out.(*os.File); ok {
		return f.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline bounds writes.
func (c *sshConn) SetWriteDeadline(t time.Time) error {
	if f, ok := c.in.(*os.File); ok {
		return f.SetWriteDeadline(t)
	}
	return nil
}

type sshAddr string

func (sshAddr) Network() string  { return "ssh" }
func (a sshAddr) String() string { return string(a) }

// lastWords keeps the end of what a program says on standard error.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

const maxWords = 2000

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > maxWords {
		l.text = l.text[len(l.text)-maxWords:]
	}
	return len(p), nil
}

// String is the text in one line.
func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bytes.FieldsFunc(l.text, func(r rune) bool { return r == '\n' || r == '\r' })
	return string(bytes.Join(lines, []byte("; ")))
}
