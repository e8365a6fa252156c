// Package events keeps what happened to containers, images and volumes: a line each in a file that everybody appends
// to, or an entry each in systemd's journal.
package events

import (
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"time"
	"unicode/utf8"
)

// Types of what an event is about.
const (
	Container = "container"
	Image     = "image"
	Volume    = "volume"
	System    = "system"
	Network   = "network"
	Secret    = "secret"
	Pod       = "pod"
)

// Event is one thing that happened. Type and Action are Docker's words.
type Event struct {
	Time       time.Time
	Type       string
	Action     string
	ID         string // of the container, image, volume
	Attributes map[string]string
}

// Attributes with a meaning of their own.
const (
	Name      = "name"
	ImageName = "image"
	ExitCode  = "exitCode"
	Signal    = "signal"
	OldName   = "oldName"
	ExecID    = "execID"
)

// line is the form on disk.
type line struct {
	Time       int64 // nanoseconds since 1970
	Type       string
	Action     string
	ID         string            `json:",omitempty"`
	Attributes map[string]string `json:",omitempty"`
}

// Append appends the event's line. It is written by hand: who writes one event is not to pay for looking at types.
func (e Event) Append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, lineStart...), e.Time.UnixNano(), 10)
	dst = appendText(append(dst, `,"Type":`...), e.Type)
	dst = appendText(append(dst, `,"Action":`...), e.Action)
	dst = appendText(append(dst, `,"ID":`...), e.ID)
	if len(e.Attributes) > 0 {
		dst = append(dst, `,"Attributes":{`...)
		names := make([]string, 0, len(e.Attributes))
		for name := range e.Attributes {
			names = append(names, name)
		}
		sort.Strings(names)
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendText(append(appendText(dst, name), ':'), e.Attributes[name])
		}
		dst = append(dst, '}')
	}
	return append(dst, '}', '\n')
}

// lineStart begins each line. In a line that was glued to half of another one it tells where the whole one begins.
const lineStart = `{"Time":`

func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r) // also for what is no text: U+FFFD
		}
	}
	return append(dst, '"')
}

var errNoEvent = errors.New("not a line of events")

// Decode reads a line, with or without its end.
func Decode(data []byte) (Event, error) {
	var l line
	if err := json.Unmarshal(data, &l); err != nil || l.Type == "" || l.Action == "" {
		return Event{}, errNoEvent
	}
	return Event{Time: time.Unix(0, l.Time), Type: l.Type, Action: l.Action, ID: l.ID, Attributes: l.Attributes}, nil
}
