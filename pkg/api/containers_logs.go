package api

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

func (s *Server) containerLogs(w *response, r *request) error {
	opts, err := logsOptions(r)
	if err != nil {
		return err
	}
	id, err := s.container(r)
	if err != nil {
		return err
	}
	doc, err := s.engine.Inspect(r.Context(), id)
	if err != nil {
		return err
	}
	if doc.LogPath == "" && doc.HostConfig.LogConfig.Type != logdriver.Journald {
		return fail(http.StatusNotImplemented, "configured logging driver does not support reading")
	}
	contentType := types.MediaTypeMultiplexedStream
	if doc.Config.Tty || r.version < 42 {
		contentType = types.MediaTypeRawStream
	}
	out := w.stream(contentType)
	opts.Stdout, opts.Stderr = split(out, doc.Config.Tty, r.flag("stdout"), r.flag("stderr"))
	if err := s.engine.Logs(r.Context(), id, opts); err != nil && r.Context().Err() == nil {
		io.WriteString((&frames{out: out}).of(stdcopy.Systemerr), "Error grabbing logs: "+err.Error()+"\n")
	}
	return nil
}

// split makes two writers of one stream: raw for a terminal, else multiplexed. What is not wanted is nil.
func split(out io.Writer, tty, stdout, stderr bool) (io.Writer, io.Writer) {
	var both [2]io.Writer
	f := &frames{out: out}
	for i, wanted := range []bool{stdout, stderr} {
		switch {
		case !wanted:
		case tty:
			both[i] = out
		default:
			both[i] = f.of([]stdcopy.StdType{stdcopy.Stdout, stdcopy.Stderr}[i])
		}
	}
	return both[0], both[1]
}

func logsOptions(r *request) (opts libpod.LogsOptions, err error) {
	if !r.flag("stdout") && !r.flag("stderr") {
		return opts, invalid("Bad parameters: you must choose at least one stream")
	}
	opts = libpod.LogsOptions{Follow: r.flag("follow"), Timestamps: r.flag("timestamps"), Details: r.flag("details"), Tail: -1}
	if tail := r.param("tail"); tail != "" && tail != "all" {
		if opts.Tail, err = strconv.Atoi(tail); err != nil || opts.Tail < 0 {
			opts.Tail = -1 // as Docker: what is no number is all
		}
	}
	if opts.Since, err = moment("since", r.param("since")); err != nil {
		return opts, err
	}
	opts.Until, err = moment("until", r.param("until"))
	return opts, err
}

// moment is a time as clients send it: seconds since 1970, with a fraction of up to nine digits. 0 is none.
func moment(name, text string) (time.Time, error) {
	if text == "" || text == "0" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	var nanos int64
	if err == nil && fraction != "" {
		fraction = (fraction + "000000000")[:9]
		nanos, err = strconv.ParseInt(fraction, 10, 64)
	}
	if err != nil || nanos < 0 {
		return time.Time{}, invalid("invalid value for %q: %q is not a timestamp", name, text)
	}
	return time.Unix(seconds, nanos), nil
}
