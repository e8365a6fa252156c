package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

var sample = Event{Time: time.Unix(1767322245, 678900000), Type: Container, Action: "die", ID: "abc",
	Attributes: map[string]string{Name: "web", ImageName: "a\"b\\c\n", ExitCode: "137"}}

func TestLineIsReadBack(t *testing.T) {
	text := sample.Append(nil)
	if !json.Valid(text) || strings.Count(string(text), "\n") != 1 {
		t.Fatalf("%q", text)
	}
	got, err := Decode(text)
	if err != nil || !got.Time.Equal(sample.Time) {
		t.Fatalf("%+v %v", got, err)
	}
	got.Time = sample.Time
	if !reflect.DeepEqual(got, sample) {
		t.Errorf("%+v", got)
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("start", "id", "key", "value\x00\xff")
	f.Fuzz(func(t *testing.T, action, id, key, value string) {
		for _, s := range []string{action, id, key, value} {
			if !utf8.ValidString(s) {
				t.Skip() // becomes U+FFFD
			}
		}
		e := Event{Time: time.Unix(1, 2), Type: Image, Action: "x" + action, ID: id, Attributes: map[string]string{key: value}}
		got, err := Decode(e.Append(nil))
		if err != nil || got.Action != e.Action || got.ID != id || got.Attributes[key] != value {
			t.Errorf("%+v became %+v (%v)", e, got, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(sample.Append(nil))
	f.Add([]byte(`{"Time":1,"Type":"a","Act{"Time":1,"Type":"a","Action":"b"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeTorn(data)
		if err == nil && (e.Type == "" || e.Action == "") {
			t.Errorf("%q: %+v", data, e)
		}
	})
}

// Eight writers lose nothing across rotations, and no line is broken.
func TestManyWritersAcrossRotation(t *testing.T) {
	l := Log{Dir: filepath.Join(t.TempDir(), "events")}
	const writers, each = 8, 1200
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := map[string]int{}
	enough := errors.New("enough")
	read := make(chan error, 1)
	ready := make(chan bool)
	l.Write(Event{Type: System, Action: "begin"})
	go func() {
		read <- l.Read(ctx, Query{Past: true, Follow: true}, func(e Event) error {
			if e.Type == System {
				close(ready)
				return nil
			}
			if seen[e.ID]++; len(seen) == writers*each {
				return enough
			}
			return nil
		})
	}()
	<-ready
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				l.Write(Event{Type: Container, Action: "start", ID: fmt.Sprintf("%d-%d", w, i), Attributes: map[string]string{"pad": strings.Repeat("x", 100)}})
			}
		})
	}
	all.Wait()
	time.AfterFunc(5*time.Second, cancel)
	if err := <-read; !errors.Is(err, enough) {
		t.Errorf("%d of %d events: %v", len(seen), writers*each, err)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	if _, err := os.Stat(filepath.Join(l.Dir, segment(1))); err != nil {
		t.Errorf("nothing was rotated: %v", err)
	}
}

func TestTornLine(t *testing.T) {
	l := Log{Dir: t.TempDir()}
	half := sample.Append(nil)
	os.WriteFile(filepath.Join(l.Dir, fileName), half[:len(half)/2], 0o600)
	l.Write(sample)
	count := 0
	l.Read(context.Background(), Query{Past: true}, func(e Event) error {
		count++
		return nil
	})
	if count != 1 {
		t.Errorf("%d events", count)
	}
}

func TestNoneAndZero(t *testing.T) {
	dir := t.TempDir()
	Log{Dir: dir, Backend: None}.Write(sample)
	Log{}.Write(sample)
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("%v", entries)
	}
}

func BenchmarkWrite(b *testing.B) {
	l := Log{Dir: b.TempDir()}
	for b.Loop() {
		l.Write(sample)
	}
}
