package server

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
)

// maxClients is how many clients can be attached; the idle stage has to watch them all.
const maxClients = 48

// maxOutput bounds the bytes that wait for one client. While a client that was there from the start (a foreground
// run) is that far behind, the container waits for it. It waits for any other, too, but no longer than patience without
// any of it being taken: then what does not fit in is dropped, so that a client that sleeps holds up neither the
// container nor the rest.
const (
	maxOutput = 1 << 20
	patience  = 2 * time.Second
)

// client is one attached connection.
type client struct {
	fd         int
	foreground bool // attached from the start
	first      bool // the first one ever: with StdinOnce its leaving ends stdin
	output     [][]byte
	size       int
	gone       bool  // nothing can be sent any more
	quiet      bool  // it waits for the end alone
	held       int   // terminal of an exec that we hold for the client, or -1
	waits      int64 // until when the container waits for it, while size is at its bound
}

func (c *client) events(s *Server) int16 {
	events := int16(0)
	if len(s.stdio.input) < maxInput {
		events |= unix.POLLIN
	}
	if len(c.output) > 0 {
		events |= unix.POLLOUT
	}
	return events
}

// held says whether the container's output has to wait for a foreground client.
func (s *Server) held() bool {
	if s.init.exited {
		return false // what is left in the pipes is little, and the end must be recorded
	}
	for _, c := range s.clients {
		if c.size >= maxOutput && (c.foreground || now() < c.waits) {
			return true
		}
	}
	return false
}

// impatient is when the container waits no longer for some client; 0 if it waits for none.
func (s *Server) impatient() int64 {
	first := int64(0)
	for _, c := range s.clients {
		if c.size >= maxOutput && !c.foreground && now() < c.waits && (first == 0 || c.waits < first) {
			first = c.waits
		}
	}
	return first
}

func (s *Server) addClient(fd int, foreground bool) {
	unix.SetNonblock(fd, true)
	c := &client{fd: fd, foreground: foreground, first: !s.known, held: -1}
	s.known = true
	s.clients = append(s.clients, c)
}

// listenAttach makes the attach socket, for us alone.
func (s *Server) listenAttach() error {
	fd, err := bindSocket(s.runPath(record.AttachSock), unix.SOCK_SEQPACKET)
	s.listen = fd
	return err
}

func (s *Server) accept() {
	for {
		fd, _, err := unix.Accept4(s.listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		if len(s.clients)+len(s.orphans) >= maxClients {
			unix.Close(fd)
			continue
		}
		s.addClient(fd, false)
	}
}

// onClient takes messages and sends what waits.
func (s *Server) onClient(c *client, revents int16) {
	if revents&unix.POLLOUT != 0 {
		c.flush()
	}
	if revents&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) != 0 {
		s.receive(c)
	}
}

func (s *Server) receive(c *client) {
	for len(s.stdio.input) < maxInput {
		n, held, err := s.receiveMessage(c, s.buf[:monitor.MaxData+1])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			s.dropClient(c)
			return
		}
		if held >= 0 {
			s.onHold(c, held)
			continue
		}
		if s.buf[0] == monitor.MsgUpdate {
			s.dismissMessenger(c)
			return
		}
		if s.buf[0] == monitor.MsgQuiet {
			c.quiet = true
			continue
		}
		if s.buf[0] == monitor.MsgGo {
			s.onGo(c, n > 1 && s.buf[1] == 1)
			continue
		}
		if s.buf[0] == monitor.MsgProbe {
			s.onProbe(c)
			continue
		}
		s.onMessage(s.buf[0], s.buf[1:n])
	}
}

func (s *Server) onMessage(kind byte, data []byte) {
	io := &s.stdio
	switch kind {
	case monitor.MsgStdin:
		if io.in < 0 || io.closeIn {
			return
		}
		io.input = append(io.input, data...)
		s.feed()
	case monitor.MsgStdinClose:
		// Without StdinOnce stdin stays open for the next client, as Docker has it.
		if s.job.StdinOnce {
			s.closeStdin()
		}
	case monitor.MsgResize:
		if len(data) >= 4 {
			io.resize(binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint16(data[2:]))
		}
	}
}

// closeStdin ends the container's stdin once it took what waits. A terminal has no end.
func (s *Server) closeStdin() {
	if s.stdio.in >= 0 && !s.stdio.terminal {
		s.stdio.closeIn = true
		s.feed()
	}
}

func (s *Server) dropClient(c *client) {
	unix.Close(c.fd)
	s.orphan(c)
	for i := range s.clients {
		if s.clients[i] == c {
			s.clients = append(s.clients[:i:i], s.clients[i+1:]...)
			break
		}
	}
	if c.first && s.job.StdinOnce {
		s.closeStdin()
	}
}

// broadcast sends output to every client.
func (s *Server) broadcast(kind byte, data []byte) {
	for len(data) > 0 && len(s.clients) > 0 {
		n := min(len(data), monitor.MaxData)
		for _, c := range s.clients {
			if !c.quiet {
				c.send(kind, data[:n], s.init.exited)
			}
		}
		data = data[n:]
	}
}

// send sends one message, or keeps it. last says that it is to be kept whatever waits already.
func (c *client) send(kind byte, data []byte, last bool) {
	if c.gone || c.held >= 0 {
		return
	}
	message := append(append(make([]byte, 0, 1+len(data)), kind), data...)
	if len(c.output) == 0 && c.try(message) {
		return
	}
	if c.gone || (c.size >= maxOutput && !c.foreground && !last && now() >= c.waits) {
		return
	}
	c.output = append(c.output, message)
	c.size += len(message)
	if c.size >= maxOutput {
		c.waits = now() + int64(patience)
	}
}

// try sends a message if the socket takes it now.
func (c *client) try(message []byte) bool {
	for {
		err := unix.Sendto(c.fd, message, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		switch err {
		case nil:
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.ENOBUFS:
			return false
		}
		c.gone, c.output, c.size = true, nil, 0 // it is dropped when its end is read
		return false
	}
}

func (c *client) flush() {
	for len(c.output) > 0 && c.try(c.output[0]) {
		c.waits = now() + int64(patience)
		c.size -= len(c.output[0])
		c.output[0] = nil
		c.output = c.output[1:]
	}
}

// slowClient is how long we wait for a foreground client to take the last of the output before a process of its own
// does that.
const slowClient = 100 * time.Millisecond

// dismiss tells every client the exit code. What a client has not taken yet is not to be lost because it is slow (a
// pager, say): it is left to a process that does nothing else, for our own end is waited for.
func (s *Server) dismiss(code int) {
	if s.listen >= 0 {
		s.accept()
	}
	var data [4]byte
	binary.LittleEndian.PutUint32(data[:], uint32(int32(code)))
	for _, c := range s.clients {
		c.send(monitor.MsgExit, data[:], true)
	}
	deadline := now() + int64(slowClient)
	for s.unsent() && now() < deadline {
		var list []watch
		for _, c := range s.clients {
			if len(c.output) > 0 {
				list = append(list, watch{c.fd, unix.POLLOUT, func(int16) { c.flush() }})
			}
		}
		s.step(list, deadline)
	}
	for _, c := range s.clients {
		c.flush()
		if len(c.output) > 0 {
			s.handOver(c)
		}
		unix.Close(c.fd)
		if c.held >= 0 {
			unix.Close(c.held)
		}
	}
	s.clients, s.known = nil, false
}

func (s *Server) unsent() bool {
	for _, c := range s.clients {
		if c.foreground && !c.gone && len(c.output) > 0 {
			return true
		}
	}
	return false
}
