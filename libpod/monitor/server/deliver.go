package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
)

// deliverArg as the first argument makes the binary deliver what a foreground client has not taken yet.
const deliverArg = "deliver"

// Descriptors of the delivering process.
const (
	deliverMessages = 3 // memfd: each message with its length before it
	deliverClient   = 4
)

// handOver leaves the rest of a client's output to a process of its own.
func (s *Server) handOver(c *client) {
	messages, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		s.warn("deliver output: %v", err)
		return
	}
	defer unix.Close(messages)
	f := bytes.Buffer{}
	for _, m := range c.output {
		f.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(m))))
		f.Write(m)
	}
	if _, err := unix.Pwrite(messages, f.Bytes(), 0); err != nil {
		s.warn("deliver output: %v", err)
		return
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		s.warn("deliver output: %v", err)
		return
	}
	defer unix.Close(null)
	_, err = syscall.ForkExec("/proc/self/exe", []string{"wherry-monitor", deliverArg, s.job.ID}, &syscall.ProcAttr{
		Dir:   "/",
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(messages), uintptr(c.fd)},
	})
	if err != nil {
		s.warn("deliver output: %v", err)
	}
}

// deliver is the life of the delivering process: it ends when the client has everything, or is gone.
func deliver() error {
	if err := unix.CloseRange(deliverClient+1, ^uint(0), 0); err != nil {
		return err
	}
	if err := unix.SetNonblock(deliverClient, false); err != nil {
		return err
	}
	messages := os.NewFile(deliverMessages, "output")
	if _, err := messages.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var size [4]byte
	for {
		if _, err := io.ReadFull(messages, size[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(size[:])
		if n > monitor.MaxData+1 {
			return fmt.Errorf("message of %d bytes", n)
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(messages, message); err != nil {
			return err
		}
		if err := sendAll(message); err != nil {
			return err
		}
	}
}

func sendAll(message []byte) error {
	for {
		err := unix.Sendto(deliverClient, message, unix.MSG_NOSIGNAL, nil)
		if err != unix.EINTR {
			return err
		}
	}
}
