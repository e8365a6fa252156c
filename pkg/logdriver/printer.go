package logdriver

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// Line is a container's line, or the part of one that has no newline at its end.
type Line struct {
	Text   []byte
	Stream Stream
	Time   time.Time
}

// Printer shows the lines of a log that is no file as Read shows those of one.
type Printer struct {
	r     reader
	attrs []byte
}

// NewPrinter returns a printer for q; attrs are what Details shows.
func NewPrinter(ctx context.Context, q Query, attrs map[string]string, sink Sink) *Printer {
	p := &Printer{r: reader{ctx: ctx, query: q, sinks: [streams]io.Writer{sink.Stdout, sink.Stderr}}}
	if len(attrs) > 0 {
		p.attrs, _ = json.Marshal(attrs) // a map of strings
	}
	return p
}

// Print shows a line, if the query wants it.
func (p *Printer) Print(l Line) error {
	e := entry{text: l.Text, stream: l.Stream, attrs: p.attrs, time: l.Time.AppendFormat(nil, time.RFC3339Nano)}
	return p.r.show(&e)
}

// Flush writes what waits.
func (p *Printer) Flush() error { return p.r.flush() }
