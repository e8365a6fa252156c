// Package control is how wherry asks wherry-net for something: one line of JSON each way over a unix socket that only
// the user himself may use.
package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/network/state"
)

// Operations of a Request.
const (
	Expose   = "expose"   // listen on Ports for the container ID, whose attachment is written already
	Unexpose = "unexpose" // stop listening for ID and close its connections
	Reload   = "reload"   // serve the networks and attachments that the files name now
	Quit     = "quit"     // answer, then end
)

// ListenFD and NamespaceFD are the descriptors that wherry-net is started with: the listening control socket and the
// network namespace of the networks. Real root's networks are in the host's namespace: then there is no NamespaceFD.
const (
	ListenFD    = 3
	NamespaceFD = 4
)

// Bounds of what either side reads.
const (
	maxLine  = 1 << 20
	maxPorts = 4096
	maxWait  = 20 * time.Second
)

// Request is one line to wherry-net.
type Request struct {
	Op    string
	ID    string `json:",omitempty"`
	Ports []Want `json:",omitempty"`
}

// Want is a port to publish. A HostPort of 0 means any free one; with HostPortEnd the first free one of the range.
type Want struct {
	state.Port
	HostPortEnd uint16 `json:",omitempty"`
}

// Reply is wherry-net's answer.
type Reply struct {
	OK    bool         `json:",omitempty"`
	Error string       `json:",omitempty"` // one line for the user
	Ports []state.Port `json:",omitempty"` // of Expose, in the order of the request, with the host ports that were chosen
}

// Listen makes the control socket anew and returns it for wherry-net's ListenFD: who calls before wherry-net is ready
// waits. The caller holds the lock under which wherry-net is started, and closes the file.
func Listen(dir state.Dir) (*os.File, error) {
	if err := os.Remove(dir.Control()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Nobody but the user gets into the directory (0700) in the moment before the mode is set.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir.Control(), Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(dir.Control(), 0o600); err != nil {
		return nil, err
	}
	return l.File()
}

// Call asks wherry-net and waits for the answer. An Error in the answer is the returned error.
func Call(ctx context.Context, dir state.Dir, req Request) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", dir.Control())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return Reply{}, fmt.Errorf("wherry-net does not run: %w", err)
	} else if err != nil {
		return Reply{}, fmt.Errorf("ask wherry-net: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	reply, err := exchange(conn, req)
	if ctxErr := ctx.Err(); err != nil && ctxErr != nil {
		err = ctxErr
	}
	if err != nil {
		return Reply{}, fmt.Errorf("ask wherry-net to %s: %w", req.Op, err)
	}
	if reply.Error != "" {
		return reply, errors.New(reply.Error)
	}
	return reply, nil
}

func exchange(conn net.Conn, req Request) (Reply, error) {
	line, err := json.Marshal(req)
	if err != nil {
		return Reply{}, err
	}
	if len(line) >= maxLine {
		return Reply{}, errors.New("too many ports in one request")
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return Reply{}, err
	}
	answer, err := readLine(bufio.NewReader(conn))
	if errors.Is(err, io.EOF) {
		return Reply{}, errors.New("it ended without an answer")
	} else if err != nil {
		return Reply{}, err
	}
	var reply Reply
	return reply, json.Unmarshal(answer, &reply)
}

// readLine reads up to maxLine bytes; a longer line is an error, not memory.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errors.New("line is too long")
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

// parse reads a request and refuses what no wherry would send.
func parse(line []byte) (Request, error) {
	var req Request
	if err := json.Unmarshal(line, &req); err != nil {
		return req, errors.New("request is not JSON of a known form")
	}
	switch req.Op {
	case Expose, Unexpose:
		if !isID(req.ID) {
			return req, errors.New("request names no container")
		}
	case Reload, Quit:
	default:
		return req, fmt.Errorf("unknown operation %.20q", req.Op)
	}
	if len(req.Ports) > maxPorts {
		return req, fmt.Errorf("%d ports in one request; at most %d", len(req.Ports), maxPorts)
	}
	for _, want := range req.Ports {
		if want.ContainerPort == 0 {
			return req, errors.New("container port 0")
		}
		if want.HostPortEnd != 0 && want.HostPortEnd < want.HostPort {
			return req, fmt.Errorf("port range %d-%d ends before it begins", want.HostPort, want.HostPortEnd)
		}
	}
	return req, nil
}

// isID keeps an id from being a path.
func isID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 64
}
