package rootless

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// helperReady bounds the wait for wherry-net.
const helperReady = 10 * time.Second

// startNet starts wherry-net if none serves the namespace, and returns when it does.
func (o Options) startNet(ctx context.Context, inode uint64) error {
	if alive(o.Dir.NetFile(), inode) {
		return nil
	}
	stop(o.Dir.NetFile())
	ready, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	args := []string{"--dir", string(o.Dir)}
	if inode != 0 {
		args = append(args, "--netns", o.Dir.Namespace())
	}
	var out bytes.Buffer
	log, err := os.CreateTemp(string(o.Dir), ".wherry-net-*")
	if err != nil {
		write.Close()
		return err
	}
	os.Remove(log.Name())
	defer log.Close()
	cmd := exec.Command(o.Net, args...) // it outlives ctx
	cmd.Dir, cmd.ExtraFiles, cmd.Stderr = "/", []*os.File{write}, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if o.Group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(o.Group.Fd())
	}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w (is wherry installed completely?)", o.Net, err)
	}
	if err := o.place(cmd.Process.Pid); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	return o.awaitNet(ctx, cmd, ready, func() string {
		log.Seek(0, io.SeekStart)
		out.ReadFrom(io.LimitReader(log, 4096))
		return strings.Join(strings.Fields(out.String()), " ")
	})
}

// awaitNet waits for the end of the pipe: wherry-net closes its end when it serves, or by dying.
func (o Options) awaitNet(ctx context.Context, cmd *exec.Cmd, ready *os.File, said func() string) error {
	deadline := time.Now().Add(helperReady)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	ready.SetReadDeadline(deadline)
	_, err := ready.Read(make([]byte, 1))
	if err == io.EOF && alive(o.Dir.NetFile(), o.netns()) {
		return cmd.Process.Release()
	}
	cmd.Process.Kill()
	cmd.Wait()
	return fmt.Errorf("wherry-net did not start: %s", said())
}

// netns is the inode that wherry-net is expected to name.
func (o Options) netns() uint64 {
	if o.Host {
		return 0
	}
	ns, err := openNS(o.Dir)
	if err != nil {
		return 0
	}
	defer ns.Close()
	return Inode(ns)
}
