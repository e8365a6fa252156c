package libpod

import (
	"context"
	"slices"
	"time"

	"github.com/wherry-containers/wherry/pkg/logdriver"
	"github.com/wherry-containers/wherry/pkg/logdriver/journal"
)

// journalGrace is how long, after a container's end, its last entry may take to come out of the journal.
const journalGrace = 2 * time.Second

// journalLog reads a container's lines from the journal: first what is there, then, followed, what comes until the
// mark of the end.
func (e *Engine) journalLog(ctx context.Context, c *container, q logdriver.Query, ended <-chan struct{}, sink logdriver.Sink) error {
	r := &journalReader{printer: logdriver.NewPrinter(ctx, q, c.logAttrs(), sink), tail: q.Tail}
	query := journal.Query{Match: []string{logdriver.JournalID + "=" + c.ID}, Fields: logdriver.JournalFields(), Since: q.Since}
	if err := r.present(ctx, query); err != nil {
		return err
	}
	if err := r.printer.Flush(); err != nil || !q.Follow {
		return err
	}
	query.Follow, query.After = true, r.cursor
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-ended:
			time.AfterFunc(journalGrace, cancel) // of a monitor that was killed there is no mark
		case <-ctx.Done():
		}
	}()
	if !q.Until.IsZero() {
		defer time.AfterFunc(time.Until(q.Until), cancel).Stop()
	}
	if err := journal.Read(ctx, query, r.follow); err != nil {
		return err
	}
	return r.err
}

// journalReader is one reading of a container's entries.
type journalReader struct {
	printer *logdriver.Printer
	tail    int
	cursor  string // of the newest entry seen
	err     error
}

// present shows what is in the journal now.
func (r *journalReader) present(ctx context.Context, q journal.Query) error {
	if r.tail < 0 {
		err := journal.Read(ctx, q, func(entry journal.Entry) bool {
			r.cursor = entry.Cursor()
			r.show(entry)
			return r.err == nil
		})
		if err != nil {
			return err
		}
		return r.err
	}
	var last []journal.Entry
	lines := 0
	q.Reverse = true
	err := journal.Read(ctx, q, func(entry journal.Entry) bool {
		if r.cursor == "" {
			r.cursor = entry.Cursor()
		}
		line, ok := logdriver.JournalLine(entry.Value)
		if !ok {
			return true
		}
		if n := len(line.Text); lines == 0 || n > 0 && line.Text[n-1] == '\n' {
			lines++
		}
		if lines <= r.tail {
			last = append(last, entry)
		}
		return lines <= r.tail
	})
	if err != nil {
		return err
	}
	for _, entry := range slices.Backward(last) {
		r.show(entry)
	}
	return r.err
}

func (r *journalReader) show(entry journal.Entry) {
	if line, ok := logdriver.JournalLine(entry.Value); ok {
		if line.Time.IsZero() {
			line.Time = entry.Time()
		}
		r.err = r.printer.Print(line)
	}
}

// follow shows an entry that has just come; false ends it.
func (r *journalReader) follow(entry journal.Entry) bool {
	if logdriver.JournalEnd(entry.Value) {
		return false
	}
	r.show(entry)
	if r.err == nil {
		r.err = r.printer.Flush()
	}
	return r.err == nil
}
