package rootless

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/wherry-containers/wherry/network/control"
)

// startNet starts wherry-net if none serves the namespace. It gets its socket made: who calls before it serves waits in
// the socket's queue, so nobody has to wait for its start.
func (o Options) startNet(ns *os.File, inode uint64) error {
	if alive(o.Dir.NetFile(), inode) {
		return nil
	}
	stop(o.Dir.NetFile())
	socket, err := control.Listen(o.Dir)
	if err != nil {
		return err
	}
	defer socket.Close()
	log, err := os.OpenFile(filepath.Join(string(o.Dir), "wherry-net.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(o.Net, "--dir", string(o.Dir)) // no context: it outlives this command
	cmd.Dir, cmd.Stderr, cmd.ExtraFiles = "/", log, []*os.File{socket}
	if ns != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, ns)
	}
	// In a mount namespace of its own it can take the namespace away without any privilege: see End. Not by Unshareflags:
	// then it would keep every mount of the host from ending there, too, a USB stick's for one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS}
	if o.Group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(o.Group.Fd())
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w (is wherry installed completely?)", o.Net, err)
	}
	err = record(o.Dir.NetFile(), cmd.Process.Pid, inode)
	if err == nil {
		err = o.place(cmd.Process.Pid)
	}
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	go cmd.Wait() // a long-lived caller must not keep its zombie
	return nil
}
