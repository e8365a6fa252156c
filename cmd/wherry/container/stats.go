package container

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
)

type statsOptions struct {
	libpod.StatsOptions
	format  string
	latest  bool
	noReset bool
	noTrunc bool
}

const statsTable = `{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}`

// Stats is `wherry stats`.
func Stats(env *cmdkit.Env) *cli.Command {
	opts := statsOptions{}
	return &cli.Command{
		Name: "stats", Usage: "Show what containers use of processor, memory, network and disks", ArgsUsage: "[CONTAINER...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.All, "all a", "Also those that do not run"),
			cmdkit.String(&opts.format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Func("interval i", "Look every `SECONDS` (1); with --no-stream, how long to look", func(s string) error {
				n, err := values.Count(s)
				if err == nil && n == 0 {
					err = fmt.Errorf("the least is 1")
				}
				opts.Interval = time.Duration(n) * time.Second
				return err
			}),
			cmdkit.Bool(&opts.latest, "latest l", "The newest container"),
			cmdkit.Bool(&opts.noReset, "no-reset", "Do not clear the screen between two looks"),
			cmdkit.Bool(&opts.Once, "no-stream", "Look once"),
			cmdkit.Bool(&opts.noTrunc, "no-trunc", "Show ids in full"),
		},
		Action: func(c *cli.Context) error { return stats(c.Context, env, opts, c.Args().Slice()) },
	}
}

func stats(ctx context.Context, env *cmdkit.Env, opts statsOptions, operands []string) error {
	e := engine(env)
	if opts.latest {
		ref, rest, err := one(ctx, e, true, operands)
		if err != nil {
			return err
		}
		operands = append(rest, ref)
	}
	if opts.All && len(operands) > 0 {
		return cmdkit.Usagef("--all does not go with named containers")
	}
	if opts.Interval == 0 && !opts.Once {
		opts.Interval = time.Second
	}
	if !opts.Once { // Ctrl-C is how a live table ends: no failure
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	opts.Containers = operands
	screen := &screen{clears: !opts.Once && !opts.noReset && cmdkit.IsTerminal(env.OutFile)}
	to := *env
	to.Out = &screen.page
	return e.Stats(ctx, opts.StatsOptions, func(list []libpod.Stat) error {
		rows := make([]statsRow, len(list))
		for i := range list {
			rows[i] = newStatsRow(&list[i], opts.noTrunc)
		}
		if err := to.Print(rows, opts.format, statsTable); err != nil {
			return err
		}
		_, err := env.Out.Write(screen.flush())
		return err
	})
}

// screen paints each table over the one before, without a blank moment in between.
type screen struct {
	page   bytes.Buffer
	clears bool
	again  bool
}

// Sequences of a terminal: to the first place, clear what is right of here, clear what is below, clear all.
const (
	toHome     = "\x1b[H"
	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
	clearAll   = "\x1b[2J"
)

func (s *screen) flush() []byte {
	defer s.page.Reset()
	if !s.clears {
		return bytes.Clone(s.page.Bytes())
	}
	out := []byte(toHome)
	if !s.again {
		out = []byte(clearAll + toHome)
	}
	s.again = true
	out = append(out, bytes.ReplaceAll(s.page.Bytes(), []byte("\n"), []byte(clearRight+"\n"))...)
	return append(out, clearBelow...)
}

// statsRow is one container as `stats` prints it. The fields are Docker's; templates and --format json see them.
type statsRow struct {
	BlockIO   string
	CPUPerc   string
	Container string
	ID        string
	MemPerc   string
	MemUsage  string
	Name      string
	NetIO     string
	PIDs      string

	// Podman's, for templates.
	AvgCPU        string `json:"-"`
	CPU           string `json:"-"`
	ContainerID   string `json:"-"`
	Mem           string `json:"-"`
	MemLimit      uint64 `json:"-"`
	MemUsageBytes string `json:"-"`
	NetInput      uint64 `json:"-"`
	NetOutput     uint64 `json:"-"`
	BlockInput    uint64 `json:"-"`
	BlockOutput   uint64 `json:"-"`
	PIDS          string `json:"-"`
	UpTime        string `json:"-"`
}

// Headings are Docker's.
func (statsRow) Headings() map[string]string {
	return map[string]string{"ID": "CONTAINER ID", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %",
		"NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS", "AvgCPU": "AVG CPU %", "UpTime": "UP TIME", "MemUsageBytes": "MEM USAGE / LIMIT"}
}

// unknown stands for what the kernel does not tell here.
const unknown = "--"

func newStatsRow(s *libpod.Stat, full bool) statsRow {
	row := statsRow{
		ID: shortened(s.ID, full), Name: s.Name, Container: s.Asked, ContainerID: s.ID, CPUPerc: unknown, AvgCPU: unknown,
		MemUsage: unknown + " / " + unknown, MemUsageBytes: unknown + " / " + unknown, MemPerc: unknown, NetIO: unknown + " / " + unknown,
		BlockIO: unknown + " / " + unknown, PIDs: unknown, UpTime: s.Up.Round(time.Second).String(),
	}
	if s.Asked == s.ID {
		row.Container = row.ID
	}
	if s.KnownCPU {
		row.CPUPerc, row.AvgCPU = percent(s.CPU), percent(s.Average)
	}
	g := &s.Group
	if g.KnownMemory {
		row.MemUsage = units.BytesSize(float64(g.Memory)) + " / " + units.BytesSize(float64(s.TotalLimit))
		row.MemUsageBytes = strconv.FormatUint(g.Memory, 10) + " / " + strconv.FormatUint(s.TotalLimit, 10)
		row.MemPerc, row.MemLimit = percent(0), s.TotalLimit
		if s.TotalLimit > 0 {
			row.MemPerc = percent(float64(g.Memory) / float64(s.TotalLimit) * 100)
		}
	}
	if s.KnownNet {
		row.NetIO, row.NetInput, row.NetOutput = pair(s.NetIn, s.NetOut), s.NetIn, s.NetOut
	}
	if g.KnownIO {
		row.BlockIO, row.BlockInput, row.BlockOutput = pair(g.Read, g.Written), g.Read, g.Written
	}
	if g.KnownProcesses {
		row.PIDs = strconv.FormatUint(g.Processes, 10)
	}
	row.CPU, row.Mem, row.PIDS = row.CPUPerc, row.MemPerc, row.PIDs
	return row
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

func pair(a, b uint64) string {
	return units.HumanSizeWithPrecision(float64(a), 3) + " / " + units.HumanSizeWithPrecision(float64(b), 3)
}
