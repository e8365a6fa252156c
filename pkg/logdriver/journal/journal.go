// Package journal reads systemd's journal by journalctl: its files have no stable form that others may read, and its
// library needs cgo.
package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Query says which entries are wanted.
type Query struct {
	Match   []string  // FIELD=value, all of them
	Fields  []string  // what is wanted of an entry; empty: everything
	Since   time.Time // zero: no bound; to the second
	After   string    // cursor of an entry: only later ones
	Follow  bool      // go on as entries come
	Reverse bool      // newest first
	New     bool      // only what comes from now on
}

// Entry is one entry of the journal.
type Entry map[string]json.RawMessage

// maxEntry bounds one entry of journalctl's output.
const maxEntry = 8 << 20

// Read calls take with each entry until that returns false, the end, or ctx is done.
func Read(ctx context.Context, q Query, take func(Entry) bool) error {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return errdefs.New(errdefs.ErrUnsupported, "the journal cannot be read: journalctl is not there (install systemd)")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, q.args()...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 64<<10), maxEntry)
	stopped := false
	for !stopped && lines.Scan() {
		entry, err := Decode(lines.Bytes())
		stopped = err == nil && !take(entry)
	}
	ended := ctx.Err() != nil
	if stopped || lines.Err() != nil {
		cancel()
	}
	err = cmd.Wait()
	if stopped || ended || err == nil && lines.Err() == nil {
		return nil
	}
	text := strings.TrimSpace(said.String())
	if text == "" {
		return fmt.Errorf("read the journal: %w", errors.Join(err, lines.Err()))
	}
	return fmt.Errorf("read the journal: %s", text[strings.LastIndexByte(text, '\n')+1:])
}

func (q Query) args() []string {
	args := []string{"--no-pager", "--quiet", "--all", "--output=json"}
	if len(q.Fields) > 0 {
		args = append(args, "--output-fields="+strings.Join(q.Fields, ","))
	}
	if !q.Since.IsZero() {
		args = append(args, "--since=@"+strconv.FormatInt(q.Since.Unix(), 10))
	}
	if q.After != "" {
		args = append(args, "--after-cursor="+q.After)
	}
	switch {
	case q.New:
		args = append(args, "--follow", "--no-tail", "--since=now") // with --lines=0 some versions show nothing at all
	case q.Follow:
		args = append(args, "--follow", "--no-tail")
	}
	if q.Reverse {
		args = append(args, "--reverse")
	}
	return append(args, q.Match...)
}

// Decode reads one line of journalctl's JSON.
func Decode(line []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("entry of the journal: %w", err)
	}
	return e, nil
}

// Value is a field's content; nil when the entry has none. What is not text comes as a list of bytes; of a field that
// is there more than once the first counts.
func (e Entry) Value(field string) []byte {
	raw := e[field]
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	var numbers []uint8
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil
	}
	for _, item := range list {
		n, err := strconv.ParseUint(string(item), 10, 8)
		if err != nil {
			return Entry{field: list[0]}.Value(field)
		}
		numbers = append(numbers, uint8(n))
	}
	return numbers
}

// Cursor names the entry, for Query.After.
func (e Entry) Cursor() string { return string(e.Value("__CURSOR")) }

// Time is when journald took the entry.
func (e Entry) Time() time.Time {
	usec, _ := strconv.ParseInt(string(e.Value("__REALTIME_TIMESTAMP")), 10, 64)
	return time.UnixMicro(usec)
}
