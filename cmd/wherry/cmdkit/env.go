package cmdkit

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/containersconf"
	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// Env is everything outside a command: no command touches os.Stdout, os.Args or the environment by itself.
type Env struct {
	Program string   // wherry, or docker when called by that name: what help and errors call us
	Args    []string // the whole command line as given, with argv[0]
	Version string
	Commit  string

	In  io.Reader
	Out io.Writer // results; a failed write is kept and ends the program with a failure
	Err io.Writer // everything else

	// The files behind In, Out and Err, nil in tests: for terminals and for handing on to a child.
	InFile, OutFile, ErrFile *os.File

	Getenv      func(string) string
	Environ     func() []string
	Dirs        layout.Dirs
	ShowVersion bool   // --version was given
	Runtime     string // global --runtime: name or path of the OCI runtime, empty for the default

	Quiet bool // global --log-level: no warnings
	Debug bool // global --debug: see Tell

	CgroupManager string   // global --cgroup-manager: systemd, cgroupfs, or empty for what suits the host
	Modules       []string // global --module: further containers.conf files
	HooksDirs     []string // global --hooks-dir: where descriptions of OCI hooks lie; nil for what containers.conf says
	RuntimeFlags  []string // global --runtime-flag: given to the OCI runtime, with -- before each
	conf          *containersconf.Conf

	Ahead   *libpod.Ahead // of a command that starts a container, nil: nothing was made ahead
	CDIDirs []string      // global --cdi-spec-dir: where device descriptions lie; nil for the usual places

	Wish wish.Wish // global --host, --context and their like: where commands are to be carried out
}

// Warn prints one warning line.
func (e *Env) Warn(text string) {
	if !e.Quiet {
		io.WriteString(e.Err, "Warning: "+e.named(spelled(text, "\t"))+"\n")
	}
}

// IsTerminal reports whether f is a terminal; a nil file is not.
func IsTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	var size [4]uint16
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	return errno == 0
}

// Output is a writer that remembers its first error, so that `wherry ps > /dev/full` fails although no command
// looks at the result of its prints.
type Output struct {
	w   io.Writer
	err error
}

// NewOutput returns an Output that writes to w at once.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

// Write writes p, or does nothing once a write has failed.
func (o *Output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

// Failed is the first error of a write as an error for the user, nil if there was none.
func (o *Output) Failed() error {
	if o.err == nil {
		return nil
	}
	return &errdefs.ExitError{Code: errdefs.ExitOurs, Err: o.err}
}
