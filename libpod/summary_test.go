package libpod

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
)

func sampleRow() summaryRow {
	return summaryRow{stamp: 77, Checked: true, Summary: Summary{ID: "abc", Name: "web", Image: "busybox", ImageID: "f00", Command: []string{"sh", "-c", "a\nb"},
		Created: time.Unix(5, 6).UTC(), Status: record.Exited, StartedAt: time.Unix(7, 8).UTC(), ExitCode: -3,
		Labels: map[string]string{"a": "1", "b": ""}, Mounts: []string{"/x"}, Targets: []string{"/y"}, Networks: []string{"none"}, RestartCount: 2,
		Restart: "always", UserStopped: true, AutoRemove: true}}
}

func TestSummaryRoundTrip(t *testing.T) {
	rows := []summaryRow{sampleRow(), {Summary: Summary{ID: "def", Created: time.Unix(1, 0).UTC()}}}
	buf := []byte(summaryMagic)
	for i := range rows {
		buf = rows[i].encode(buf)
	}
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, buf, 0o600)
	got := readSummaries(path)
	for i := range rows {
		if !reflect.DeepEqual(*got[rows[i].ID], rows[i]) {
			t.Errorf("row %d:\n got %+v\nwant %+v", i, *got[rows[i].ID], rows[i])
		}
	}
	for cut := range buf {
		os.WriteFile(path, buf[:cut], 0o600)
		readSummaries(path) // must not panic
	}
}

func FuzzSummaries(f *testing.F) {
	row := sampleRow()
	f.Add(row.encode(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f")
		os.WriteFile(path, append([]byte(summaryMagic), data...), 0o600)
		readSummaries(path)
	})
}

func TestMatchLabel(t *testing.T) {
	labels := map[string]string{"a": "1", "e": ""}
	for want, ok := range map[string]bool{"a": true, "a=1": true, "a=2": false, "b": false, "e=": true, "e": true, "b=": false} {
		if matchLabel(labels, want) != ok {
			t.Errorf("matchLabel(%q) is %v", want, !ok)
		}
	}
}
