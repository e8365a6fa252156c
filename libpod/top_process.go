package libpod

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// topProcess is one process as /proc shows it.
type topProcess struct {
	pid    int
	fields []string          // of stat, from the state on
	status map[string]string // of status
}

// Fields of /proc/PID/stat, counted from the state.
const (
	statState = 0
	statTTY   = 4
	statUser  = 11 // clock ticks
	statSys   = 12
	statNice  = 16
	statStart = 19 // clock ticks after boot
)

// clockTick is the unit of times in stat: the kernel has them in hundredths of a second on every architecture.
const clockTick = 10 * time.Millisecond

func (p *topProcess) path(name string) string { return "/proc/" + strconv.Itoa(p.pid) + "/" + name }

func readProcess(pid int) (*topProcess, error) {
	p := &topProcess{pid: pid, status: map[string]string{}}
	data, err := os.ReadFile(p.path("stat"))
	if err != nil {
		return nil, err
	}
	if p.fields, err = statFields(string(data)); err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(p.path("status")); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		p.status[key] = strings.TrimSpace(value)
	}
	return p, nil
}

// statFields are the fields after the name, which may hold anything.
func statFields(text string) ([]string, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return nil, errors.New("not a line of stat")
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) <= statStart {
		return nil, errors.New("a line of stat is too short")
	}
	return fields, nil
}

func (p *topProcess) stat(n int) string { return p.fields[n] }

func (p *topProcess) ticks(n int) time.Duration {
	count, _ := strconv.ParseInt(p.fields[n], 10, 64) // the kernel's number
	return time.Duration(count) * clockTick
}

// id is one of the four ids in a line of status: real, effective, saved, of the file system.
func (p *topProcess) id(key string, n int) uint32 {
	words := strings.Fields(p.status[key])
	if n >= len(words) {
		return 0
	}
	id, _ := strconv.ParseUint(words[n], 10, 32) // the kernel's number
	return uint32(id)
}

// inner is a pid as the process itself sees it: the last one of a list by namespace.
func (p *topProcess) inner(key string) string {
	words := strings.Fields(p.status[key])
	if len(words) == 0 {
		return "?"
	}
	return words[len(words)-1]
}

// parent is the parent's pid in the namespace of the process; 0 for one outside of it.
func (p *topProcess) parent() string {
	pid, err := strconv.Atoi(p.status["PPid"])
	if err != nil || pid == 0 {
		return "0"
	}
	parent, err := readProcess(pid)
	if err != nil {
		return "0"
	}
	own, theirs := strings.Fields(p.status["NSpid"]), strings.Fields(parent.status["NSpid"])
	if len(theirs) < len(own) {
		return "0"
	}
	return theirs[len(own)-1]
}

func (p *topProcess) args() string {
	data, err := os.ReadFile(p.path("cmdline"))
	text := strings.TrimRight(strings.ReplaceAll(string(data), "\x00", " "), " ")
	if err != nil || text == "" {
		return "[" + p.status["Name"] + "]"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?' // it would act on the terminal
		}
		return r
	}, text)
}

func (p *topProcess) groups(name func(uint32) string) string {
	var names []string
	for _, word := range strings.Fields(p.status["Groups"]) {
		if id, err := strconv.ParseUint(word, 10, 32); err == nil {
			names = append(names, name(uint32(id)))
		}
	}
	return strings.Join(names, ",")
}

func (p *topProcess) label() string {
	data, err := os.ReadFile(p.path("attr/current"))
	if err != nil {
		return "?"
	}
	return firstOf(strings.TrimRight(string(data), "\x00\n"), "?")
}

func (p *topProcess) seccomp() string {
	return firstOf(map[string]string{"0": "disabled", "1": "strict", "2": "filter"}[p.status["Seccomp"]], "?")
}

func (p *topProcess) elapsed() time.Duration { return max(uptime()-p.ticks(statStart), 0) }
func (p *topProcess) started() time.Time     { return time.Now().Add(-p.elapsed()) }
func (p *topProcess) used() time.Duration    { return p.ticks(statUser) + p.ticks(statSys) }

// share is the part of one processor that the process has used since its start.
func (p *topProcess) share() string {
	elapsed := p.elapsed()
	if elapsed == 0 {
		return "0.000"
	}
	return fmt.Sprintf("%.3f", 100*float64(p.used())/float64(elapsed))
}

// Major numbers of terminals.
const (
	majorVirtual = 4
	majorPTS     = 136 // and the seven that follow
)

// tty is the controlling terminal by name.
func (p *topProcess) tty() string {
	device, err := strconv.Atoi(p.fields[statTTY])
	if err != nil || device == 0 {
		return "?"
	}
	major, minor := device>>8&0xfff, device&0xff|device>>12&0xfff00
	switch {
	case major >= majorPTS && major < majorPTS+8:
		return fmt.Sprintf("pts/%d", (major-majorPTS)<<8|minor)
	case major == majorVirtual:
		return fmt.Sprintf("tty%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}
