package libpod

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"golang.org/x/sys/unix"
)

// StatsOptions is what `stats` needs.
type StatsOptions struct {
	Containers []string      // empty: all that run
	All        bool          // without Containers: also those that do not run
	Once       bool          // one look, then the end
	Interval   time.Duration // between two looks; with Once how long the one takes, 0: a moment
	Interfaces bool          // Stat.Interfaces too
}

// Stat is what one container uses. A part that is not Known could not be found out; all of one that does not run is zero.
type Stat struct {
	ID, Name   string
	Asked      string // as the user named it, else the id
	Running    bool
	CPU        float64       // 100: one processor, over the time since the look before
	KnownCPU   bool          // else CPU, CPUTime and Average are zero
	CPUTime    time.Duration // since the start
	Average    float64       // as CPU, since the start
	Up         time.Duration
	Group      cgroup.Usage
	NetIn      uint64 // bytes, all interfaces but the loopback
	NetOut     uint64
	KnownNet   bool               // the container has a network of its own
	Interfaces map[string]Traffic // with StatsOptions.Interfaces
	TotalLimit uint64             // bytes of memory: the container's limit or what the machine has
}

// glance is how long one look takes when nobody says: long enough to see what each container does at this moment (the
// kernel counts processor time at each tick, of 1 to 4 ms), short enough not to be waited for.
const glance = 30 * time.Millisecond

// Stats calls show with the containers' use of resources, again and again until ctx ends or show returns an error. It
// reads the kernel's own files; between two looks it does nothing.
func (e *Engine) Stats(ctx context.Context, opts StatsOptions, show func([]Stat) error) error {
	s := &statistics{e: e, opts: opts, buf: make([]byte, 64<<10), last: map[string]cpuSample{}}
	s.machine = memoryTotal(s.buf)
	var err error
	if s.asked, err = s.resolve(); err != nil {
		return err
	}
	found, err := s.first(ctx)
	for err == nil {
		if err = show(s.rows(found)); err != nil || opts.Once {
			return err
		}
		if err = sleep(ctx, max(opts.Interval, glance)); err != nil {
			break
		}
		if found, err = s.find(); err == nil {
			s.read(found)
		}
	}
	return ignoreEnd(opts.Once, err)
}

// first is the look that has none before it: use of a processor is a difference, so it takes a moment, in which all else
// is read.
func (s *statistics) first(ctx context.Context) ([]measured, error) {
	found, err := s.find()
	if err != nil {
		return nil, err
	}
	from := time.Now()
	for i := range found {
		s.sample(&found[i])
	}
	s.read(found)
	wait := glance
	if s.opts.Once && s.opts.Interval > 0 {
		wait = s.opts.Interval
	}
	return found, sleep(ctx, wait-time.Since(from))
}

// ignoreEnd: that a live table is ended by the user is no error.
func ignoreEnd(once bool, err error) error {
	if !once && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// cpuSample is the processor time of a run at a moment.
type cpuSample struct {
	run uint64 // start of the container's first process: tells a restart
	cpu time.Duration
	at  time.Time
}

// measured is one container that is looked at.
type measured struct {
	Stat
	started time.Time
	pid     int
	run     uint64
	meter   cgroup.Meter
	ownNet  bool
}

type statistics struct {
	e       *Engine
	opts    StatsOptions
	asked   []string // ids of opts.Containers
	machine uint64   // bytes of memory
	buf     []byte
	last    map[string]cpuSample
}

func (s *statistics) resolve() ([]string, error) {
	ids := make([]string, len(s.opts.Containers))
	for i, ref := range s.opts.Containers {
		var err error
		if ids[i], err = s.e.resolve(ref); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// find lists the containers to look at: those that were named, in their order, else those that run, newest first.
func (s *statistics) find() ([]measured, error) {
	var list []measured
	if len(s.asked) > 0 {
		for i, id := range s.asked {
			m := measured{Stat: Stat{ID: id, Asked: s.opts.Containers[i]}}
			if c, err := s.e.load(id); err == nil {
				m.Name = c.name()
				s.open(&m, c)
			}
			list = append(list, m)
		}
		return list, nil
	}
	rows, _, err := s.e.readAll() // less than List does: whether one runs is found out by open
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b *summaryRow) int { return b.Created.Compare(a.Created) })
	for _, row := range rows {
		m := measured{Stat: Stat{ID: row.ID, Name: row.Name, Asked: row.ID}}
		if row.Status == record.Running {
			c := &container{live: s.e.loadLive(row.ID)}
			c.Network.Mode = firstOf(row.Networks...)
			s.open(&m, c)
		}
		if m.Running || s.opts.All {
			list = append(list, m)
		}
	}
	return list, nil
}

// open finds where the kernel keeps the figures of a running container.
func (s *statistics) open(m *measured, c *container) {
	if !c.running() {
		return
	}
	m.Running, m.pid, m.run, m.started = true, c.live.Pid, c.live.PidStart, c.live.StartedAt
	m.ownNet = c.Network.Mode != "host"
	group := cgroup.Group{Dirs: c.live.Cgroups, Version: 1}
	if len(group.Dirs) == 1 {
		group.Version = 2
	}
	m.meter = cgroup.NewMeter(group, s.buf)
}

// sample notes the processor time of now.
func (s *statistics) sample(m *measured) {
	if cpu, ok := m.meter.CPU(); ok && m.Running {
		s.last[m.ID] = cpuSample{m.run, cpu, time.Now()}
	}
}

// read reads all but the processor time.
func (s *statistics) read(list []measured) {
	for i := range list {
		if list[i].Running {
			s.readRunning(&list[i])
		} else {
			list[i].Group, list[i].KnownNet, list[i].KnownCPU = cgroup.Usage{KnownMemory: true, KnownIO: true, KnownProcesses: true}, true, true
		}
	}
}

func (s *statistics) readRunning(m *measured) {
	m.Group = m.meter.Usage()
	if m.Group.KnownMemory {
		m.TotalLimit = min(m.Group.Limit, s.machine)
	}
	if m.ownNet {
		text := cgroup.ReadFile("/proc/"+strconv.Itoa(m.pid)+"/net/dev", s.buf)
		m.NetIn, m.NetOut, m.KnownNet = traffic(text)
		if s.opts.Interfaces {
			m.Interfaces = interfaces(text)
		}
	}
}

// rows completes the figures by the use of the processor since the look before; for a container that was not there then,
// since its start.
func (s *statistics) rows(list []measured) []Stat {
	rows := make([]Stat, len(list))
	seen := make(map[string]cpuSample, len(list))
	for i := range list {
		m := &list[i]
		cpu, ok := m.meter.CPU()
		if m.Running && ok {
			now := cpuSample{m.run, cpu, time.Now()}
			before, known := s.last[m.ID]
			if !known || before.run != m.run {
				before = cpuSample{at: m.started}
			}
			m.Up, m.CPUTime, m.KnownCPU = now.at.Sub(m.started), cpu, true
			m.CPU = share(cpu-before.cpu, now.at.Sub(before.at))
			m.Average = share(cpu, m.Up)
			seen[m.ID] = now
		}
		rows[i] = m.Stat
	}
	s.last = seen
	return rows
}

func share(used, of time.Duration) float64 {
	if of <= 0 || used < 0 {
		return 0
	}
	return float64(used) / float64(of) * 100
}

// traffic sums /proc/PID/net/dev: bytes received are the first number after the name, bytes sent the ninth.
func traffic(text string) (in, out uint64, ok bool) {
	for line := range strings.Lines(text) {
		name, rest, found := strings.Cut(line, ":")
		if !found {
			continue // the two lines of the heading
		}
		fields := strings.Fields(rest)
		if len(fields) < 9 || strings.TrimSpace(name) == "lo" {
			continue
		}
		received, err1 := strconv.ParseUint(fields[0], 10, 64)
		sent, err2 := strconv.ParseUint(fields[8], 10, 64)
		if err1 == nil && err2 == nil {
			in, out = in+received, out+sent
		}
	}
	return in, out, text != ""
}

// memoryTotal is how much memory the machine has; all of it that could be when the kernel does not say.
func memoryTotal(buf []byte) uint64 {
	for line := range strings.Lines(cgroup.ReadFile("/proc/meminfo", buf)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		return uint64(info.Totalram) * uint64(info.Unit)
	}
	return math.MaxUint64
}
