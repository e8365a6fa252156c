package system

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// fakeSSH notes what it was asked and as whom, and leaves the work to the test: it runs in a user namespace of its own, as
// ssh does, where no wherry can make its own.
const fakeSSH = `#!/bin/sh
id -u >>BASE/who; echo "$@" >>BASE/asked
while [ "$1" != -- ]; do shift; done
d=BASE/call.$$; mkdir $d; mkfifo $d/in $d/out $d/err $d/code
echo "$2" >$d/host; shift 2; echo "$*" >$d/command.new; mv $d/command.new $d/command
exec 3<&0; cat <&3 >$d/in & cat $d/err >&2 & cat $d/out
read code <$d/code; exit $code
`

// answerSSH does what is asked of fakeSSH, on the stores of its machines.
func answerSSH(ctx context.Context, base, bin string, stores map[string]*testkit.Store) {
	for ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
		calls, _ := filepath.Glob(base + "/call.*/command")
		for _, call := range calls {
			script, _ := os.ReadFile(call)
			os.Remove(call)
			go serveSSH(ctx, filepath.Dir(call), string(script), bin, stores)
		}
	}
}

func serveSSH(ctx context.Context, dir, script, bin string, stores map[string]*testkit.Store) {
	host, _ := os.ReadFile(dir + "/host")
	s := stores[strings.TrimSpace(string(host))]
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	if s == nil {
		cmd = exec.CommandContext(ctx, "sh", "-c", "echo no such host >&2; exit 255")
	} else {
		cmd.Env = append(os.Environ(), "WHERRY_DATA="+s.Data, "WHERRY_RUN="+s.Run, "PATH="+bin+":"+os.Getenv("PATH"))
	}
	open := func(name string, flags int) *os.File {
		f, _ := os.OpenFile(dir+"/"+name, flags, 0)
		return f
	}
	in, out, errs := open("in", os.O_RDONLY), open("out", os.O_WRONLY), open("err", os.O_WRONLY)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	cmd.Run()
	in.Close()
	out.Close()
	errs.Close()
	code := open("code", os.O_WRONLY)
	fmt.Fprintln(code, cmd.ProcessState.ExitCode())
	code.Close()
}

// An image goes to another machine and comes from it, and from there to a third. ssh is a script here that has another store on
// each of its machines.
//
// flag: image scp --quiet
func TestImageSCP(t *testing.T) {
	t.Parallel()
	base := dir(t)
	bin := filepath.Join(base, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	stores := map[string]*testkit.Store{"one": ownStore(t), "two": ownStore(t)}
	for _, s := range stores {
		s.Must(t, "rmi", testkit.Image)
	}
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(strings.ReplaceAll(fakeSSH, "BASE", base)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(shared.Bin, filepath.Join(bin, "wherry")); err != nil {
		t.Fatal(err)
	}
	go answerSSH(t.Context(), base, bin, stores)
	s := ownStore(t).With("PATH=" + bin + ":" + os.Getenv("PATH"))

	s.Must(t, "image", "scp", "-q", testkit.Image, "me@one:2222::")
	stores["one"].Must(t, "image", "exists", testkit.Image)
	asked, _ := os.ReadFile(base + "/asked")
	if !strings.HasPrefix(string(asked), "-p 2222 -l me -- one ") {
		t.Errorf("ssh was asked %s", asked)
	}
	if who, _ := os.ReadFile(base + "/who"); strings.TrimSpace(string(who)) != fmt.Sprint(os.Getuid()) {
		t.Errorf("ssh ran as %s", who)
	}
	s.Must(t, "image", "scp", "--quiet", "one::"+testkit.Image, "two::")
	stores["two"].Must(t, "image", "exists", testkit.Image)
	s.Must(t, "rmi", testkit.Image)
	if out := s.Must(t, "image", "scp", "-q", "ssh://two::"+testkit.Image); !strings.Contains(out, testkit.Image) {
		t.Errorf("it says %q", out)
	}
	s.Must(t, "run", "--rm", "--network", "none", testkit.Image, "true")

	for text, args := range map[string][]string{"has to be elsewhere": {testkit.Image}, "no such host": {testkit.Image, "three::"}, "invalid place": {testkit.Image, "me@-oProxyCommand=x::"},
		"nosuch": {"nosuch", "one::"}, "leave": {testkit.Image, "one::other"}, "nosuch2": {"one::nosuch2"}} {
		s.MustFail(t, 125, text, append([]string{"image", "scp", "-q"}, args...)...)
	}
}
