package api

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/jsonstream"
)

// replyTime is how long a client may take to read an answer that is no stream.
const replyTime = time.Minute

// response is an answer, and what is known of how far it is.
type response struct {
	http.ResponseWriter
	started   bool // the header is out
	streaming bool // the body tells by itself how it ended
	hijacked  bool
}

// WriteHeader sends the header.
func (w *response) WriteHeader(status int) {
	w.started = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// deadline bounds the time for what the client sends next; 0 lifts the bound. Connections without deadlines have none.
func (w *response) deadline(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	http.NewResponseController(w.ResponseWriter).SetReadDeadline(at)
}

// json answers with a document.
func (w *response) json(status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", types.MediaTypeJSON)
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(replyTime))
	w.WriteHeader(status)
	w.Write(append(data, '\n')) // a client that is gone gets no answer, whatever we do
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Time{})
	return nil
}

// empty answers with a status alone.
func (w *response) empty(status int) error {
	w.WriteHeader(status)
	return nil
}

// stream begins an answer whose pieces reach the client as they are written. An error after this cannot be told by a
// status any more: whoever streams tells it in the stream.
func (w *response) stream(contentType string) io.Writer {
	w.Header().Set("Content-Type", contentType)
	w.streaming = true
	w.WriteHeader(http.StatusOK)
	out := &flusher{w.ResponseWriter, http.NewResponseController(w.ResponseWriter)}
	out.flush()
	return out
}

// flusher sends each piece at once.
type flusher struct {
	w       io.Writer
	control *http.ResponseController
}

func (f *flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.flush()
	}
	return n, err
}

func (f *flusher) flush() error { return f.control.Flush() }

// messages is a stream of progress as clients of pull, push, load and build read it: one JSON document after the other.
type messages struct {
	mu  sync.Mutex
	w   *response
	out io.Writer // nil until the first message: an error before it is an ordinary one
}

func (w *response) messages() *messages { return &messages{w: w} }

// send writes one message: a jsonstream.Message, or a type of the client's own.
func (m *messages) send(message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out == nil {
		m.out = m.w.stream(types.MediaTypeJSON)
	}
	_, err = m.out.Write(append(data, '\r', '\n'))
	return err
}

// end tells err in the stream where it has begun, else it gives it back for an ordinary answer.
func (m *messages) end(err error) error {
	m.mu.Lock()
	begun := m.out != nil
	m.mu.Unlock()
	if err == nil || !begun {
		return err
	}
	return m.send(failure{&jsonstream.Error{Code: statusOf(err), Message: err.Error()}, err.Error()})
}

// failure is the last message of a stream that ended badly. Older clients read the second field.
type failure struct {
	Detail *jsonstream.Error `json:"errorDetail"`
	Text   string            `json:"error"`
}

// frames puts the streams of a container into one, each piece with a header that says whose it is (stdcopy).
type frames struct {
	mu  sync.Mutex
	out io.Writer
	buf []byte
}

// of is the writer for one of the streams.
func (f *frames) of(kind stdcopy.StdType) io.Writer { return frameWriter{f, kind} }

type frameWriter struct {
	*frames
	kind stdcopy.StdType
}

// Write sends p as one frame.
func (f frameWriter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = append(f.buf[:0], byte(f.kind), 0, 0, 0)
	f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(len(p)))
	f.buf = append(f.buf, p...)
	if _, err := f.out.Write(f.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// connection is what is left of an HTTP connection once both sides use it as they like.
type connection struct {
	net.Conn
	in *bufio.Reader // has what the client sent right after its request
}

func (c *connection) Read(p []byte) (int, error) { return c.in.Read(p) }

// closeWrite tells the client that nothing more comes; what it sends is still read, where the transport can do that.
func (c *connection) closeWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// upgrade takes the connection over, as attach, exec, /session and /grpc do. contentType is told to clients of 1.42 and
// later. The caller closes the connection.
func (w *response) upgrade(r *request, contentType string) (*connection, error) {
	control := http.NewResponseController(w.ResponseWriter)
	conn, rw, err := control.Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return nil, invalid("this connection cannot be upgraded to a stream (use HTTP/1.1)")
	} else if err != nil {
		return nil, err
	}
	w.hijacked = true
	conn.SetDeadline(time.Time{})
	if r.version < 42 {
		contentType = types.MediaTypeRawStream
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\n\r\n"
	if wanted := r.Header.Get("Upgrade"); wanted != "" {
		protocol := "tcp"
		if wanted == "h2c" {
			protocol = wanted
		}
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + contentType + "\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n"
	}
	if _, err := io.WriteString(conn, head); err != nil {
		conn.Close()
		return nil, err
	}
	return &connection{conn, rw.Reader}, nil
}
