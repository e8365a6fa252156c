// Package uplink gives a network namespace a way out without root: pasta, or slirp4netns where there is none.
package uplink

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

// DNS is the address at which the uplink answers inside the namespace and passes queries on to the host's resolver.
const DNS = "169.254.1.1"

// The container's side of the uplink, slirp4netns's choice. Without them pasta gives it the host's own address, and then
// nothing that listens there could be reached.
const (
	address = "10.0.2.100"
	netmask = "24"
	gateway = "10.0.2.2"
)

// Options say what to start, and for which namespace.
type Options struct {
	Program string   // pasta or slirp4netns; else pasta, and slirp4netns where there is none
	Args    []string // more arguments for it
	NetNS   string   // path of the network namespace
	PidFile string   // takes the uplink's pid
	Group   *os.File // control group to start in; nil: the caller's
}

// Start connects a network namespace and returns when it is ready. The uplink stays behind in the background. It must be
// called from the namespace that it leads to.
func Start(ctx context.Context, o Options) error {
	path, err := exec.LookPath("pasta")
	switch {
	case o.Program == "slirp4netns", err != nil && o.Program != "pasta":
		return startSlirp(o)
	case err != nil:
		return errdefs.New(errdefs.ErrUnsupported, "--network pasta needs the program pasta (sudo apt install passt)")
	}
	cmd := exec.CommandContext(ctx, path, pastaArgs(o)...)
	cmd.Dir, cmd.SysProcAttr = "/", startIn(o.Group)
	return run(cmd)
}

// pastaArgs are ours, each in force unless one of the user's says otherwise.
func pastaArgs(o Options) []string {
	args := []string{"--config-net", "--quiet", "--pid", o.PidFile}
	for _, d := range [][]string{{"--dns-forward", DNS}, {"-t", "none", "--tcp-ports"}, {"-u", "none", "--udp-ports"},
		{"-T", "none", "--tcp-ns"}, {"-U", "none", "--udp-ns"}} {
		if !given(o.Args, d[0], d[len(d)-1]) {
			args = append(args, d[0], d[1])
		}
	}
	if !given(o.Args, "--map-gw") {
		args = append(args, "--no-map-gw")
	}
	if !given(o.Args, "-a", "--address") && !given(o.Args, "-g", "--gateway") && !given(o.Args, "-n", "--netmask") {
		args = append(args, "--address", address, "--netmask", netmask, "--gateway", gateway)
	}
	for _, arg := range o.Args {
		if arg != "--map-gw" { // pasta's default, which has no name
			args = append(args, arg)
		}
	}
	if realuser.UID() == 0 {
		args = append(args, "--runas", "0") // else it drops to nobody, who may not open the namespace
	}
	return append(args, "--netns", o.NetNS)
}

// given tells whether the arguments hold an option, by itself or as name=value.
func given(args []string, names ...string) bool {
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// startSlirp starts slirp4netns, which does not go to the background, and says that it is ready by a byte on a
// descriptor.
func startSlirp(o Options) error {
	path, err := exec.LookPath("slirp4netns")
	if err != nil {
		return errdefs.New(errdefs.ErrUnsupported, "a network needs pasta or slirp4netns (sudo apt install passt), or use --network none or host")
	}
	ready, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	args := []string{"--configure", "--netns-type=path", "--ready-fd=3"}
	if !given(o.Args, "--mtu") {
		args = append(args, "--mtu=65520")
	}
	if !given(o.Args, "--allow-host-loopback") {
		args = append(args, "--disable-host-loopback")
	}
	for _, arg := range o.Args {
		if arg != "--allow-host-loopback" {
			args = append(args, arg)
		}
	}
	cmd := exec.Command(path, append(args, o.NetNS, "tap0")...)
	cmd.Dir, cmd.ExtraFiles, cmd.SysProcAttr = "/", []*os.File{write}, startIn(o.Group)
	out, err := os.CreateTemp("", ".wherry-slirp-*") // it keeps the descriptor for as long as it lives
	if err != nil {
		write.Close()
		return err
	}
	os.Remove(out.Name())
	defer out.Close()
	cmd.Stderr = out
	err = cmd.Start()
	write.Close()
	if err != nil {
		return err
	}
	if n, _ := ready.Read(make([]byte, 1)); n == 0 {
		cmd.Process.Kill()
		cmd.Wait()
		text := make([]byte, 4096)
		n, _ := out.ReadAt(text, 0)
		return fmt.Errorf("slirp4netns: %s", lastLine(string(text[:n])))
	}
	pid := cmd.Process.Pid
	go cmd.Wait() // a long-lived caller must not keep its zombie
	return os.WriteFile(o.PidFile, []byte(strconv.Itoa(pid)), 0o600)
}

func startIn(group *os.File) *syscall.SysProcAttr {
	if group == nil {
		return nil
	}
	return &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
}

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Path, err, lastLine(string(out)))
	}
	return nil
}

// Pid reads the file in which Start left the uplink's pid.
func Pid(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
