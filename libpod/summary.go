package libpod

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"golang.org/x/sys/unix"
)

// The list of containers is kept in one cache file, so that listing a thousand costs a thousand stat calls and not
// three thousand opened files. A row is valid for as long as the container's directory has the same change time:
// each write to a record is a rename inside it. The file may be lost or broken at any time.
const (
	summaryFile  = "containers"
	summaryMagic = "wherry containers 3\n"
	minRow       = 200 // bytes that a row takes at least, about
	staleRows    = 8   // fewer changed rows than this are not worth a new file
)

// summaryRow is what is kept of one container.
type summaryRow struct {
	Summary
	Checked bool  // it has a health check
	stamp   int64 // change time of the container's directory, ns
}

// readAll returns a row for each container as its record has it, and the ids of what a killed process left incomplete.
func (e *Engine) readAll() (rows []*summaryRow, incomplete []string, err error) {
	path := filepath.Join(e.dirs.Cache(), summaryFile)
	reading := make(chan map[string]*summaryRow, 1)
	go func() { reading <- readSummaries(path) }()
	ids, err := e.containers.IDs()
	if err != nil {
		return nil, nil, err
	}
	stamps, err := changeTimes(e.dirs.Containers(), ids)
	if err != nil {
		return nil, nil, ignoreMissing(err)
	}
	known := <-reading
	rows = make([]*summaryRow, 0, len(ids))
	fresh := 0
	for i, id := range ids {
		stamp := stamps[i]
		if stamp == 0 {
			continue // removed meanwhile
		}
		if row, ok := known[id]; ok && row.stamp == stamp {
			rows = append(rows, row)
			continue
		}
		c, err := e.load(id)
		if err != nil {
			if !e.containers.Complete(id) {
				incomplete = append(incomplete, id)
			} else {
				e.opts.Warn(err.Error())
			}
			continue
		}
		row := c.summarize()
		row.stamp = stamp
		rows = append(rows, &row)
		fresh++
	}
	if fresh >= staleRows || len(known) > 2*len(rows)+staleRows {
		e.keepSummaries(path, rows)
	}
	return rows, incomplete, nil
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// shareOfTimes is how many records one of several processors looks at before it is worth to use another.
const shareOfTimes = 200

// changeTimes are the change times of records below dir in ns, 0 for one that is gone. Rows of the last moments are not
// believed: two changes may fall into one tick of the file system's clock.
func changeTimes(dir string, ids []string) ([]int64, error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd := int(root.Fd())
	stamps := make([]int64, len(ids))
	share := max(shareOfTimes, (len(ids)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for from := 0; from < len(ids); from += share {
		to := min(from+share, len(ids))
		look := func() {
			for i := from; i < to; i++ {
				stamps[i] = changeTime(fd, ids[i])
			}
		}
		if to == len(ids) {
			look() // the last share is ours
		} else {
			group.Go(look)
		}
	}
	group.Wait()
	return stamps, nil
}

func changeTime(root int, id string) int64 {
	var st unix.Stat_t
	if unix.Fstatat(root, id, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	return st.Ctim.Nano()
}

// keepSummaries writes the cache. It is no loss when that fails.
func (e *Engine) keepSummaries(path string, rows []*summaryRow) {
	young := time.Now().Add(-50 * time.Millisecond).UnixNano()
	buf := []byte(summaryMagic)
	for i := range rows {
		if rows[i].stamp < young {
			buf = rows[i].encode(buf)
		}
	}
	if os.MkdirAll(filepath.Dir(path), 0o700) == nil {
		atomicfile.Write(path, buf, 0o600, atomicfile.Volatile)
	}
}

func readSummaries(path string) map[string]*summaryRow {
	data, err := os.ReadFile(path)
	if err != nil || len(data) < len(summaryMagic) || string(data[:len(summaryMagic)]) != summaryMagic {
		return nil
	}
	d := decoder{data: string(data[len(summaryMagic):])}
	rows := make([]summaryRow, 0, len(data)/minRow)
	for len(d.data) > 0 {
		rows = append(rows, summaryRow{})
		if rows[len(rows)-1].decode(&d); d.bad {
			return nil
		}
	}
	known := make(map[string]*summaryRow, len(rows))
	for i := range rows {
		known[rows[i].ID] = &rows[i]
	}
	return known
}

// encode appends the row: strings with their length, numbers as varints, lists with their count.
func (r *summaryRow) encode(b []byte) []byte {
	for _, s := range []string{r.ID, r.Name, r.Image, r.ImageID, string(r.Status), r.Restart} {
		b = appendString(b, s)
	}
	for _, list := range [][]string{r.Command, r.Mounts, r.Targets, r.Networks, labelList(r.Labels)} {
		b = binary.AppendVarint(b, int64(len(list)))
		for _, s := range list {
			b = appendString(b, s)
		}
	}
	flags := int64(0)
	for i, set := range []bool{r.Checked, r.UserStopped, r.AutoRemove} {
		if set {
			flags |= 1 << i
		}
	}
	for _, n := range []int64{r.stamp, nanos(r.Created), nanos(r.StartedAt), nanos(r.FinishedAt), int64(r.ExitCode), int64(r.RestartCount), flags} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func (r *summaryRow) decode(d *decoder) {
	var status string
	for _, s := range []*string{&r.ID, &r.Name, &r.Image, &r.ImageID, &status, &r.Restart} {
		*s = d.text()
	}
	r.Status = record.Status(status)
	r.Command, r.Mounts, r.Targets, r.Networks = d.list(), d.list(), d.list(), d.list()
	labels := d.list()
	for i := 0; i+1 < len(labels); i += 2 {
		if r.Labels == nil {
			r.Labels = make(map[string]string, len(labels)/2)
		}
		r.Labels[labels[i]] = labels[i+1]
	}
	r.stamp = d.number()
	r.Created, r.StartedAt, r.FinishedAt = moment(d.number()), moment(d.number()), moment(d.number())
	r.ExitCode, r.RestartCount = int(d.number()), int(d.number())
	flags := d.number()
	r.Checked, r.UserStopped, r.AutoRemove = flags&1 != 0, flags&2 != 0, flags&4 != 0
}

// decoder reads what encode wrote. Anything else makes it bad, never panic.
type decoder struct {
	data string
	bad  bool
}

func (d *decoder) number() int64 {
	n, size := binary.Varint([]byte(d.data[:min(len(d.data), binary.MaxVarintLen64)]))
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.data = d.data[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if d.bad || n < 0 || n > int64(len(d.data)) {
		d.bad = true
		return ""
	}
	s := d.data[:n]
	d.data = d.data[n:]
	return s
}

func (d *decoder) list() []string {
	n := d.number()
	if d.bad || n < 0 || n > int64(len(d.data)) {
		d.bad = true
		return nil
	}
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

func labelList(labels map[string]string) []string {
	list := make([]string, 0, 2*len(labels))
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		list = append(list, k, labels[k])
	}
	return list
}

// nanos and moment carry a time; the zero time is 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// healthStatus is what the monitor last found.
func (e *Engine) healthStatus(id string) string {
	h, _ := e.readHealth(id)
	return h.Status
}

// readHealth reads what the monitor last wrote, and whether there was anything. What cannot be read is as good as none:
// the monitor writes the next.
func (e *Engine) readHealth(id string) (h record.HealthState, there bool) {
	data, err := os.ReadFile(filepath.Join(e.dirs.ContainerRun(id), record.HealthFile))
	if err != nil || lazyjson.Unmarshal(data, &h) != nil {
		h = record.HealthState{Status: "starting"}
	}
	return h, err == nil
}
