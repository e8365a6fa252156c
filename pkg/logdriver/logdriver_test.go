package logdriver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC)

func TestValidateOpts(t *testing.T) {
	cases := []struct {
		driver, opts, want string // want: part of the error, empty for none
	}{
		{"json-file", "", ""},
		{"json-file", "max-size=10m max-file=3 compress=true labels=a,b env=X tag={{.Name}}", ""},
		{"json-file", "max-size=512", ""},
		{"json-file", "max-size=-1", ""},
		{"json-file", "mode=non-blocking max-buffer-size=4m", ""},
		{"json-file", "max-size=10x", "max-size=10x"},
		{"json-file", "max-size=0", "max-size=0"},
		{"json-file", "max-size=-5", "max-size=-5"},
		{"json-file", "max-size=1e30", "max-size=1e30"},
		{"json-file", "max-file=0 max-size=1m", "max-file=0"},
		{"json-file", "max-file=3", "max-file=3: needs max-size"},
		{"json-file", "max-size=1m compress=true", "compress=true: needs max-size and max-file"},
		{"json-file", "max-size=1m max-file=2 compress=maybe", "compress=maybe"},
		{"json-file", "mode=fast", "mode=fast"},
		{"json-file", "max-buffer-size=1m", "needs mode=non-blocking"},
		{"json-file", "path=/x", ""},
		{"json-file", "path=x", "want an absolute path"},
		{"json-file", "syslog-address=/x", "syslog-address=/x: driver json-file has no such option"},
		{"k8s-file", "path=/x max-size=1m", ""},
		{"k8s-file", "tag=x", "tag=x: driver k8s-file has no such option"},
		{"local", "max-size=1m max-file=2 compress=false", ""},
		{"local", "labels=a", "driver local has no such option"},
		{"journald", "tag={{.Name}} labels=a,b mode=non-blocking", ""},
		{"journald", "max-size=1m", "driver journald has no such option"},
		{"syslog", "syslog-address=unixgram:///dev/log syslog-facility=local3 syslog-format=rfc5424 tag=x", ""},
		{"syslog", "syslog-address=udp://192.0.2.1:514", "only a socket of this machine"},
		{"syslog", "syslog-facility=nonsense", "want a facility"},
		{"syslog", "syslog-format=rfc1", "want rfc3164"},
		{"none", "max-size=1m", `"max-size": driver none takes no options`},
		{"passthrough", "", ""},
		{"jsonfile", "", `log driver "jsonfile" is not known`},
	}
	for _, c := range cases {
		opts := map[string]string{}
		for _, kv := range strings.Fields(c.opts) {
			k, v, _ := strings.Cut(kv, "=")
			opts[k] = v
		}
		_, err := Parse(c.driver, opts)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s %s: %v", c.driver, c.opts, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, errdefs.ErrInvalid)):
			t.Errorf("%s %s: %v, want %q", c.driver, c.opts, err, c.want)
		}
	}
	if o, err := Parse(JSONFile, map[string]string{"max-size": "1.5kB"}); err != nil || o.MaxSize != 1536 {
		t.Errorf("%+v %v", o, err)
	}
}

func newWriter(t *testing.T, opts Options, attrs map[string]string) (*Writer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ctr.log")
	if opts.MaxFile == 0 {
		opts.MaxFile = 1
	}
	w, err := openWriter(path, opts, newJSONForm(attrs), nil)
	if err != nil {
		t.Fatal(err)
	}
	return w, path
}

func TestFormatIsDockers(t *testing.T) {
	w, path := newWriter(t, Options{}, map[string]string{"tag": "a\"b", "env": "x"})
	w.Write(Stdout, []byte("hello\npart"), at)
	w.Write(Stderr, []byte("<&>\t\x01\"\\\r\u2028\xff\xc3\n"), at)
	w.Write(Stdout, []byte("ial\nno end"), at)
	w.End(Stdout, at)
	w.End(Stderr, at)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const tail = `,"attrs":{"env":"x","tag":"a\"b"},"time":"2026-01-02T03:04:05.6789Z"}` + "\n"
	want := `{"log":"hello\n","stream":"stdout"` + tail +
		`{"log":"\u003c\u0026\u003e\u0009\u0001\"\\\r\u2028\ufffd\ufffd\n","stream":"stderr"` + tail +
		`{"log":"partial\n","stream":"stdout"` + tail +
		`{"log":"no end","stream":"stdout"` + tail
	got, _ := os.ReadFile(path)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestLongLinesAreSplit(t *testing.T) {
	w, path := newWriter(t, Options{}, nil)
	long := strings.Repeat("ä", 20000) // 40000 bytes
	for _, piece := range [][2]int{{0, 5}, {5, 30001}, {30001, 40000}} {
		w.Write(Stdout, []byte(long[piece[0]:piece[1]]), at)
	}
	w.Write(Stdout, []byte("\nnext\n"), at)
	w.Close()
	data, _ := os.ReadFile(path)
	if n := bytes.Count(data, []byte("\n")); n != 4 || bytes.Contains(data, []byte(`\ufffd`)) {
		t.Errorf("%d lines, replaced: %v", n, bytes.Contains(data, []byte(`\ufffd`)))
	}
	if out := readString(t, path, Query{Tail: -1, Timestamps: true}); out != "2026-01-02T03:04:05.678900000Z "+long+"\n2026-01-02T03:04:05.678900000Z next\n" {
		t.Errorf("read back %d bytes", len(out))
	}
	if out := readString(t, path, Query{Tail: 2}); out != long+"\nnext\n" {
		t.Errorf("tail 2: %d bytes", len(out))
	}
}

func readString(t *testing.T, path string, q Query) string {
	t.Helper()
	var out bytes.Buffer
	if err := Read(t.Context(), path, q, nil, Sink{Stdout: &out, Stderr: &out}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestHeldIsGoneOnWith(t *testing.T) {
	w, path := newWriter(t, Options{}, nil)
	w.Write(Stdout, []byte("one half, "), at)
	held := w.Held()
	w.file.Close()
	w, err := openWriter(path, Options{MaxFile: 1}, newJSONForm(nil), held)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(Stdout, []byte("the other\n"), at)
	w.Close()
	if out := readString(t, path, Query{Tail: -1}); out != "one half, the other\n" || w.Held() != nil {
		t.Errorf("%q", out)
	}
}

func TestRotationKeepsAllThatFits(t *testing.T) {
	for _, compress := range []bool{false, true} {
		w, path := newWriter(t, Options{MaxSize: 4000, MaxFile: 3, Compress: compress}, nil)
		var all strings.Builder
		for i := range 400 {
			line := fmt.Sprintf("line %d\n", i)
			all.WriteString(line)
			if err := w.Write(Stdout, []byte(line), at); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out := readString(t, path, Query{Tail: -1})
		if !strings.HasSuffix(all.String(), out) || strings.Count(out, "\n") < 100 {
			t.Errorf("compress %v: %d lines", compress, strings.Count(out, "\n"))
		}
		for _, n := range []int{0, 1, 5, 60, 130} {
			tail := readString(t, path, Query{Tail: n})
			if strings.Count(tail, "\n") != min(n, strings.Count(out, "\n")) || !strings.HasSuffix(out, tail) {
				t.Errorf("compress %v, tail %d: %d lines", compress, n, strings.Count(tail, "\n"))
			}
		}
		names, _ := filepath.Glob(path + "*")
		if len(names) != 3 || strings.HasSuffix(names[2], ".2.gz") != compress {
			t.Errorf("%v", names)
		}
	}
}

func TestOneFileIsStartedAnew(t *testing.T) {
	w, path := newWriter(t, Options{MaxSize: 300, MaxFile: 1}, nil)
	for i := range 50 {
		w.Write(Stdout, fmt.Appendf(nil, "line %d\n", i), at)
	}
	w.Close()
	if info, _ := os.Stat(path); info.Size() > 400 || !strings.HasSuffix(readString(t, path, Query{Tail: -1})+"x", "x") {
		t.Errorf("%d bytes", info.Size())
	}
}

// TestFollowAcrossRotationLosesNothing writes and rotates while a reader follows as fast as it can; the number of
// files is such that none is dropped before it was read.
func TestFollowAcrossRotationLosesNothing(t *testing.T) {
	for _, compress := range []bool{false, true} {
		w, path := newWriter(t, Options{MaxSize: 20000, MaxFile: 500, Compress: compress}, nil)
		done, result := make(chan struct{}), make(chan string)
		go func() {
			var out bytes.Buffer
			if err := Read(t.Context(), path, Query{Tail: -1, Follow: true}, done, Sink{Stdout: &out, Stderr: &out}); err != nil {
				t.Error(err)
			}
			result <- out.String()
		}()
		var all strings.Builder
		for i := range 20000 {
			line := fmt.Sprintf("line %d\n", i)
			all.WriteString(line)
			w.Write(Stdout, []byte(line), time.Now())
			if i%5000 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		w.Close()
		close(done)
		if out := <-result; out != all.String() {
			t.Errorf("compress %v: %d bytes of %d", compress, len(out), all.Len())
		}
	}
}

func TestFollowWaitsAndEnds(t *testing.T) {
	w, path := newWriter(t, Options{}, nil)
	done, lines, ended := make(chan struct{}), make(chan string, 10), make(chan error)
	go func() {
		sink := writerFunc(func(p []byte) (int, error) { lines <- string(p); return len(p), nil })
		ended <- Read(t.Context(), path, Query{Tail: -1, Follow: true}, done, Sink{Stdout: sink, Stderr: sink})
	}()
	w.Write(Stdout, []byte("one\n"), time.Now())
	if got := <-lines; got != "one\n" {
		t.Errorf("%q", got)
	}
	w.Write(Stderr, []byte("half"), time.Now())
	w.End(Stderr, time.Now())
	if got := <-lines; got != "half" {
		t.Errorf("%q", got)
	}
	close(done)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestGarbageIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctr.log")
	good := func(s string) string {
		return `{"log":"` + s + `\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}` + "\n"
	}
	os.WriteFile(path, []byte(good("a")+"garbage\n\n"+strings.Repeat("x", 3<<20)+"\n"+good("b")+`{"log":"half`), 0o600)
	os.WriteFile(path+".1.gz", []byte("no gzip"), 0o600)
	os.WriteFile(path+".2", []byte(good("old")), 0o600)
	if out := readString(t, path, Query{Tail: -1}); out != "old\na\nb\n" {
		t.Errorf("%q", out)
	}
	if out := readString(t, path, Query{Tail: 1}); out != "b\n" {
		t.Errorf("tail: %q", out)
	}
	w, err := openWriter(path, Options{MaxFile: 1}, newJSONForm(nil), nil) // goes on after a torn line
	if err != nil {
		t.Fatal(err)
	}
	w.Write(Stdout, []byte("c\n"), at)
	w.Close()
	if out := readString(t, path, Query{Tail: 2}); out != "b\nc\n" {
		t.Errorf("after half a line: %q", out)
	}
}

func TestSinceUntilDetails(t *testing.T) {
	w, path := newWriter(t, Options{}, map[string]string{"b": "2", "a": "1"})
	for i := range 5 {
		w.Write(Stdout, fmt.Appendf(nil, "%d\n", i), at.Add(time.Duration(i)*time.Second))
	}
	w.Close()
	q := Query{Tail: -1, Since: at.Add(time.Second), Until: at.Add(3 * time.Second), Details: true}
	if out := readString(t, path, q); out != "a=1,b=2 1\na=1,b=2 2\na=1,b=2 3\n" {
		t.Errorf("%q", out)
	}
	if out := readString(t, filepath.Join(t.TempDir(), "none"), q); out != "" {
		t.Errorf("a log that is not there: %q", out)
	}
}

func TestNonBlockingDropsOnlyWhatDoesNotFit(t *testing.T) {
	w, path := newWriter(t, Options{NonBlocking: true, BufferSize: 1 << 20}, nil)
	for i := range 1000 {
		w.Write(Stdout, fmt.Appendf(nil, "%d\n", i), at)
	}
	w.Write(Stdout, []byte("end"), at)
	w.End(Stdout, at)
	if w.Busy() {
		t.Error("busy after End")
	}
	w.Close()
	if out := readString(t, path, Query{Tail: -1}); strings.Count(out, "\n") != 1000 || !strings.HasSuffix(out, "999\nend") {
		t.Errorf("%d lines", strings.Count(out, "\n"))
	}
}

func TestAnotherFormOfJSON(t *testing.T) {
	var e entry
	if err := e.decode([]byte(`{ "time": "2026-01-02T03:04:05Z", "log": "a\ud83d\ude00\n", "stream": "stderr" }`)); err != nil || string(e.text) != "a😀\n" || e.stream != Stderr {
		t.Errorf("%v %q", err, e.text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\u00e4\"\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"log":"`))
	f.Add([]byte(`{"log":"\ud800","stream":"stderr","time":""}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var fast, slow entry
		if !fast.decodeFast(line) || !json.Valid(line) || !utf8.Valid(line) {
			slow.decode(line)
			slow.details()
			return
		}
		var want struct{ Log, Stream string }
		if err := json.Unmarshal(line, &want); err != nil {
			return
		}
		if want.Log != string(fast.text) && bytes.Count(line, []byte(`"log"`)) == 1 && bytes.Count(bytes.ToLower(line), []byte(`log`)) == 1 {
			t.Errorf("%q: %q, want %q", line, fast.text, want.Log)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\nb"), 1)
	f.Add([]byte("\xff\xfe<>\n"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		enc := encoder{form: newJSONForm(nil)}
		enc.form.begin(Stdout, at)
		if len(data) > 0 {
			cut = max(cut, -cut, 0) % (len(data) + 1)
		} else {
			cut = 0
		}
		id := func(b []byte) []byte { return b }
		file := enc.take(nil, Stdout, data[:max(cut, 0)], id)
		file = enc.rest(enc.take(file, Stdout, data[max(cut, 0):], id), Stdout)
		var got []byte
		for line := range bytes.Lines(file) {
			var e entry
			if !json.Valid(line) || !e.decodeFast(bytes.TrimSuffix(line, []byte("\n"))) {
				t.Fatalf("cannot read %q", line)
			}
			got = append(got, e.text...)
		}
		if len(data) < maxLine && string(got) != string([]rune(string(data))) {
			t.Errorf("%q became %q", data, got)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ctr.log")
	w, err := openWriter(path, Options{MaxFile: 1, MaxSize: 100 << 20}, newJSONForm(nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	p := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 655)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		w.Write(Stdout, p, time.Now())
	}
}
