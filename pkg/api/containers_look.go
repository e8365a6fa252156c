package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
)

func (s *Server) containerTop(w *response, r *request) error {
	id, status, err := s.status(r)
	switch {
	case err != nil:
		return err
	case !active(status):
		return fail(http.StatusConflict, "container %s is not running", id)
	}
	args := strings.Fields(r.param("ps_args"))
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	rows, err := s.engine.TopHost(r.Context(), id, args)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, container.TopResponse{Titles: rows[0], Processes: append([][]string{}, rows[1:]...)})
}

func (s *Server) containerUpdate(w *response, r *request) error {
	var body container.UpdateConfig
	if err := r.decode(w, &body); err != nil {
		return err
	}
	if err := windowsOnly(&body.Resources); err != nil {
		return err
	}
	if n := body.PidsLimit; n != nil && *n == 0 { // here, unlike at create, it is said on purpose
		unlimited := int64(-1)
		body.PidsLimit = &unlimited
	}
	if err := setLimits(&record.Resources{}, &body.Resources); err != nil {
		return err
	}
	opts := libpod.UpdateOptions{Limits: []func(*record.Resources){func(res *record.Resources) {
		setLimits(res, &body.Resources) // was found right
	}}}
	if p := body.RestartPolicy; p.Name != "" {
		if err := container.ValidateRestartPolicy(p); err != nil {
			return invalid("%v", err)
		}
		opts.Restart = &record.Restart{Policy: string(p.Name), MaxRetries: p.MaximumRetryCount}
	}
	id, err := s.container(r)
	if err != nil {
		return err
	}
	if err := s.engine.Update(r.work(), id, opts); err != nil {
		return err
	}
	return w.json(http.StatusOK, container.UpdateResponse{Warnings: []string{}})
}

// Time between two looks at what a container uses: of a stream, and of one answer that compares two.
const (
	statsEvery = time.Second
	statsTwice = 250 * time.Millisecond
)

// errEnough ends a stream of figures.
var errEnough = errors.New("enough")

func (s *Server) containerStats(w *response, r *request) error {
	id, err := s.container(r)
	if err != nil {
		return err
	}
	stream, once := r.flagOr("stream", true), r.flag("one-shot")
	if stream && once {
		return invalid("cannot have stream=true and one-shot=true")
	}
	f := &figures{}
	opts := libpod.StatsOptions{Containers: []string{id}, Interval: statsTwice, Interfaces: true, Once: once}
	if stream {
		opts.Interval = statsEvery
		w.streamed(types.MediaTypeJSON)
	}
	var last container.StatsResponse
	err = s.engine.Stats(r.Context(), opts, func(rows []libpod.Stat) error {
		if _, gone := s.engine.Status(r.Context(), id); gone != nil {
			return errEnough
		}
		last = f.response(&rows[0])
		switch {
		case stream:
			if err := json.NewEncoder(w).Encode(last); err != nil {
				return errEnough
			}
			return http.NewResponseController(w.ResponseWriter).Flush()
		case f.looks > 1 || !rows[0].Running:
			return errEnough
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errEnough) && !errors.Is(err, context.Canceled):
		return err
	case stream:
		return nil
	}
	return w.json(http.StatusOK, last)
}

// figures remembers the look before: use of processors is a difference.
type figures struct {
	looks int
	read  time.Time
	cpu   container.CPUStats
}

func (f *figures) response(s *libpod.Stat) container.StatsResponse {
	doc := container.StatsResponse{ID: s.ID, Name: "/" + s.Name, OSType: "linux", PreRead: f.read, PreCPUStats: f.cpu}
	if f.looks++; !s.Running {
		return doc
	}
	doc.Read = time.Now()
	doc.CPUStats = container.CPUStats{CPUUsage: container.CPUUsage{TotalUsage: uint64(s.CPUTime)}, SystemUsage: systemTime(), OnlineCPUs: uint32(runtime.NumCPU())}
	if s.Group.KnownMemory { // without the cache that nobody uses: clients that would subtract it find none
		doc.MemoryStats = container.MemoryStats{Usage: s.Group.Memory, Limit: s.TotalLimit, Stats: map[string]uint64{"inactive_file": 0}}
	}
	doc.PidsStats.Current = s.Group.Processes
	if s.Group.KnownIO {
		doc.BlkioStats.IoServiceBytesRecursive = []container.BlkioStatEntry{{Op: "read", Value: s.Group.Read}, {Op: "write", Value: s.Group.Written}}
	}
	if s.KnownNet {
		doc.Networks = map[string]container.NetworkStats{}
		for name, t := range s.Interfaces {
			doc.Networks[name] = container.NetworkStats{RxBytes: t.BytesIn, RxPackets: t.PacketsIn, RxErrors: t.ErrorsIn, RxDropped: t.DroppedIn,
				TxBytes: t.BytesOut, TxPackets: t.PacketsOut, TxErrors: t.ErrorsOut, TxDropped: t.DroppedOut}
		}
	}
	f.read, f.cpu = doc.Read, doc.CPUStats
	return doc
}

// systemTime is the time that all processors have spent since the boot, in nanoseconds: the first line of /proc/stat.
func systemTime() uint64 {
	const tick = 10 * time.Millisecond // of the kernel's clock as programs see it
	data, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(data), "\n")
	var sum uint64
	for i, field := range strings.Fields(line) {
		if n, err := strconv.ParseUint(field, 10, 64); err == nil && i > 0 && i <= 8 { // what follows is in user and nice already
			sum += n
		}
	}
	return sum * uint64(tick)
}

func (s *Server) checkpoints(*response, *request) error {
	return fail(http.StatusNotImplemented, "checkpoints are not supported by wherry: CRIU can neither save nor restore what runs without root")
}
