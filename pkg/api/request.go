package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds a body of JSON; archives are read as streams and have no bound of their own.
const maxBody = 8 << 20

// bodyTime is how long a client may take for a body of JSON, and for each piece of a stream.
const bodyTime = 30 * time.Second

// request is an HTTP request with what its path says.
type request struct {
	*http.Request
	vars    map[string]string // of the route's pattern
	version int               // minor version of the API that the client speaks
	query   map[string][]string
}

// param is a parameter of the query, empty when it is not given.
func (r *request) param(name string) string {
	if values := r.params(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// params are all values of a parameter of the query.
func (r *request) params(name string) []string {
	if r.query == nil {
		r.query = r.URL.Query()
	}
	return r.query[name]
}

// given tells whether the query has a parameter.
func (r *request) given(name string) bool { return r.params(name) != nil }

// flag is a switch of the query, by Docker's rules: all but "", 0, no, false and none is yes.
func (r *request) flag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.param(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// flagOr is flag with another value for one that is not given.
func (r *request) flagOr(name string, otherwise bool) bool {
	if !r.given(name) {
		return otherwise
	}
	return r.flag(name)
}

// number is a whole number of the query, otherwise when it is not given.
func (r *request) number(name string, otherwise int) (int, error) {
	text := r.param(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalid("invalid value %q for %s: want a whole number", text, name)
	}
	return n, nil
}

// work is a context for what must not stop halfway because the client went away; what only tells the client something
// uses r.Context().
func (r *request) work() context.Context { return context.WithoutCancel(r.Context()) }

// decode reads a body of JSON. An absent one leaves into as it is. Unknown fields are let pass, as Docker does: newer
// clients send what older servers do not know.
func (r *request) decode(w *response, into any) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/json" {
			return invalid("unsupported Content-Type header (%s): must be 'application/json'", kind)
		}
	}
	w.deadline(bodyTime)
	defer w.deadline(0)
	return decodeJSON(http.MaxBytesReader(w.ResponseWriter, r.Body, maxBody), into)
}

// decodeJSON reads one JSON document and nothing after it.
func decodeJSON(body io.Reader, into any) error {
	dec := json.NewDecoder(body)
	err := dec.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF): // chunked, and nothing in it
		return nil
	case errors.As(err, &large):
		return fail(http.StatusRequestEntityTooLarge, "the request's body is larger than %d MB", maxBody>>20)
	case err != nil:
		return invalid("invalid JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("unexpected content after JSON")
	}
	return nil
}

// body is the request's body as a stream: it may be as long as it likes, but each piece has to come in time.
func (r *request) body(w *response) io.Reader {
	return &patientReader{r.Body, w}
}

type patientReader struct {
	io.Reader
	w *response
}

func (p *patientReader) Read(b []byte) (int, error) {
	p.w.deadline(bodyTime)
	n, err := p.Reader.Read(b)
	p.w.deadline(0)
	return n, err
}
