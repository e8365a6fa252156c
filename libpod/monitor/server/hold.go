package server

import "golang.org/x/sys/unix"

// receiveMessage is recv with the descriptor that may come along; -1 is none.
func (s *Server) receiveMessage(c *client, buf []byte) (n, held int, err error) {
	var control [64]byte
	n, size, _, _, err := unix.Recvmsg(c.fd, buf, control[:], unix.MSG_CMSG_CLOEXEC)
	if err != nil || size == 0 {
		return n, -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err != nil {
		return n, -1, nil
	}
	held = -1
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if held >= 0 {
				unix.Close(held)
			}
			held = fd
		}
	}
	return n, held, nil
}

// onHold makes a client one that has given us a terminal to hold; it gets no output.
func (s *Server) onHold(c *client, fd int) {
	if c.first { // it does not count as attached
		c.first, s.known = false, false
	}
	if c.held >= 0 {
		unix.Close(c.held)
	}
	c.held, c.output, c.size = fd, nil, 0
}

// orphan takes over the terminal of a client that is gone, if it gave us one.
func (s *Server) orphan(c *client) {
	if c.held < 0 {
		return
	}
	unix.SetNonblock(c.held, true)
	s.orphans = append(s.orphans, c.held)
	c.held = -1
}

// watchOrphans lets the loop read the terminals that nobody else reads.
func (s *Server) watchOrphans(list []watch) []watch {
	for _, fd := range s.orphans {
		list = append(list, watch{fd, unix.POLLIN, func(int16) { s.readOrphan(fd) }})
	}
	return list
}

// readOrphan throws away what a terminal brings, and drops it when nobody writes to it any more.
func (s *Server) readOrphan(fd int) {
	n, err := unix.Read(fd, s.buf)
	if err == unix.EINTR || err == unix.EAGAIN || n > 0 {
		return
	}
	unix.Close(fd)
	for i := range s.orphans {
		if s.orphans[i] == fd {
			s.orphans = append(s.orphans[:i:i], s.orphans[i+1:]...)
			return
		}
	}
}
