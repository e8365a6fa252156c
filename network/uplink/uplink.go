// Package uplink gives a network namespace a way out without root: pasta, or slirp4netns where there is none.
package uplink

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
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

// Start connects the network namespace at the path netns and returns when it is ready. The uplink stays behind in the
// background; its pid is in pidFile. It must be called from the namespace that it leads to. It starts in the control group
// whose directory group is; nil: the caller's.
func Start(ctx context.Context, netns, pidFile string, group *os.File) error {
	path, err := exec.LookPath("pasta")
	if err != nil {
		return startSlirp(netns, pidFile, group)
	}
	args := []string{"--config-net", "--quiet", "--pid", pidFile, "--dns-forward", DNS,
		"-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw",
		"--address", address, "--netmask", netmask, "--gateway", gateway, "--netns", netns}
	if realuser.UID() == 0 {
		args = append(args, "--runas", "0") // else it drops to nobody, who may not open the namespace
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.SysProcAttr = "/", startIn(group)
	return run(cmd)
}

// startSlirp starts slirp4netns, which needs a process rather than a path, does not go to the background, and says
// that it is ready by a byte on a descriptor.
func startSlirp(netns, pidFile string, group *os.File) error {
	path, err := exec.LookPath("slirp4netns")
	if err != nil {
		return errdefs.New(errdefs.ErrUnsupported, "a private network needs pasta or slirp4netns (sudo apt install passt), or use --network none or host")
	}
	ready, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(path, "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", "--ready-fd=3", netns, "tap0")
	cmd.Dir, cmd.ExtraFiles, cmd.SysProcAttr = "/", []*os.File{write}, startIn(group)
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Start()
	write.Close()
	if err != nil {
		return err
	}
	if n, _ := ready.Read(make([]byte, 1)); n == 0 {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("slirp4netns: %s", lastLine(out.String()))
	}
	return os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
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
