package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/rootless"
	"github.com/wherry-containers/wherry/pkg/store"
)

// report is what `info` shows. The first fields are Docker's.
type report struct {
	ServerVersion     string
	Containers        int
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Images            int
	Driver            string
	DockerRootDir     string
	RunRoot           string
	DefaultRuntime    string
	RuntimePath       string
	CgroupDriver      string
	CgroupVersion     string
	CgroupControllers []string
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string
	NCPU              int
	MemTotal          int64
	Name              string
	LoggingDriver     string
	SecurityOptions   []string
	Store             rootfs.Detection
	Rootless          rootless.Status
	Warnings          []string
	Host              hostReport // Podman's
}

// hostReport are fields of Podman's `info` that scripts look for.
type hostReport struct {
	Arch, OS, Kernel, Hostname    string
	CPUs                          int
	MemTotal                      int64
	CgroupManager, CgroupsVersion string
	OCIRuntime                    struct{ Name, Path string }
	Security                      struct {
		Rootless       bool
		SECCOMPEnabled bool
	}
}

// host repeats what Podman's templates call by other names.
func (r *report) host() (h hostReport) {
	h.Arch, h.OS, h.Kernel, h.Hostname, h.CPUs, h.MemTotal = r.Architecture, r.OSType, r.KernelVersion, r.Name, r.NCPU, r.MemTotal
	h.CgroupManager, h.CgroupsVersion = r.CgroupDriver, "v"+r.CgroupVersion
	h.OCIRuntime.Name, h.OCIRuntime.Path = r.DefaultRuntime, r.RuntimePath
	h.Security.Rootless, h.Security.SECCOMPEnabled = r.Rootless.Rootless, true
	return h
}

// Info is `wherry info`.
func Info(env *cmdkit.Env) *cli.Command {
	var format string
	return &cli.Command{
		Name: "info", Usage: "Show the store, the runtime, the user namespace and what is wrong with them",
		Flags:  []cli.Flag{cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`")},
		Action: func(c *cli.Context) error { return info(c.Context, env, format) },
	}
}

// info enters the user namespace by itself: where that cannot be, it shows everything else that is wrong as well.
func info(ctx context.Context, env *cmdkit.Env, format string) error {
	outside := rootless.Enter(rootless.EnterOptions{})
	var err error
	if env.Dirs, err = layout.Find(env.Getenv); err != nil {
		return err
	}
	r, err := collect(ctx, env, outside == nil)
	if err != nil {
		return err
	}
	if outside != nil {
		r.Warnings = slices.DeleteFunc(r.Warnings, func(w string) bool { return w == outside.Error() })
	}
	if format != "" {
		err = env.PrintOne(r, format)
	} else {
		err = r.print(env)
	}
	return errors.Join(err, outside)
}

func collect(ctx context.Context, env *cmdkit.Env, entered bool) (*report, error) {
	r := &report{ServerVersion: env.Version, DockerRootDir: env.Dirs.Data, RunRoot: env.Dirs.Run, OSType: runtime.GOOS,
		Architecture: runtime.GOARCH, NCPU: runtime.NumCPU(), MemTotal: memTotal(), Rootless: rootless.Report(), Warnings: []string{}}
	r.Name, _ = os.Hostname()
	r.KernelVersion, r.OperatingSystem = firstLine("/proc/sys/kernel/osrelease"), operatingSystem()
	r.LoggingDriver, r.SecurityOptions = "json-file", securityOptions(r.Rootless)
	r.Warnings = append(r.Warnings, r.Rootless.Problems...)
	if entered {
		if err := r.lookAtStore(ctx, env); err != nil {
			return nil, err
		}
	}
	if found, err := ociruntime.Find(env.Runtime); err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	} else {
		r.DefaultRuntime, r.RuntimePath = string(found.Kind), found.Path
	}
	if conf, err := env.Conf(); err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	} else if len(conf.Ignored) > 0 {
		r.Warnings = append(r.Warnings, "containers.conf sets what means nothing to wherry: "+strings.Join(conf.Ignored, ", "))
	}
	facts := cgroup.Detect(env.Getenv, r.Rootless.Rootless, r.Rootless.UID)
	r.CgroupDriver, r.CgroupVersion, r.CgroupControllers = string(facts.Manager), fmt.Sprint(facts.Version), facts.Controllers
	if warning := facts.Warning(); warning != "" {
		r.Warnings = append(r.Warnings, warning)
	}
	if r.Rootless.Rootless {
		s := session{root: "/", user: r.Rootless.User, uid: r.Rootless.UID, run: r.RunRoot}
		r.Warnings = append(r.Warnings, s.advice()...)
	}
	r.Host = r.host()
	return r, nil
}

func (r *report) lookAtStore(ctx context.Context, env *cmdkit.Env) error {
	if err := r.countContainers(ctx, env); err != nil {
		return err
	}
	images, err := store.Open(env.Dirs).Images(ctx)
	if err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
	r.Images = len(images)
	if r.Store, err = rootfs.Detect(ctx, env.Dirs); err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	} else if r.Store.Note != "" {
		r.Warnings = append(r.Warnings, r.Store.Note)
	}
	r.Driver = r.Store.Driver
	return nil
}

func (r *report) countContainers(ctx context.Context, env *cmdkit.Env) error {
	rows, err := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn}).List(ctx, libpod.ListOptions{All: true})
	if err != nil {
		return err
	}
	for _, row := range rows {
		switch row.Status {
		case record.Running, record.Restarting:
			r.ContainersRunning++
		case record.Paused:
			r.ContainersPaused++
		default:
			r.ContainersStopped++
		}
	}
	r.Containers = len(rows)
	return nil
}

func (r *report) print(env *cmdkit.Env) error {
	var b strings.Builder
	line := func(name, format string, args ...any) { fmt.Fprintf(&b, name+": "+format+"\n", args...) }
	line("Containers", "%d", r.Containers)
	line(" Running", "%d", r.ContainersRunning)
	line(" Paused", "%d", r.ContainersPaused)
	line(" Stopped", "%d", r.ContainersStopped)
	line("Images", "%d", r.Images)
	line("Version", "%s", r.ServerVersion)
	if r.Driver != "" {
		line("Storage Driver", "%s (on %s)", r.Driver, r.Store.FS)
	}
	line("Store", "%s", r.DockerRootDir)
	line("Run Directory", "%s", r.RunRoot)
	line("Runtime", "%s (%s)", r.DefaultRuntime, r.RuntimePath)
	line("Cgroup Driver", "%s", r.CgroupDriver)
	line("Cgroup Version", "%s", r.CgroupVersion)
	line("Cgroup Controllers", "%s", strings.Join(r.CgroupControllers, " "))
	line("Kernel Version", "%s", r.KernelVersion)
	line("Operating System", "%s", r.OperatingSystem)
	line("OS/Arch", "%s/%s", r.OSType, r.Architecture)
	line("CPUs", "%d", r.NCPU)
	line("Total Memory", "%s", units.BytesSize(float64(r.MemTotal)))
	line("Name", "%s", r.Name)
	line("Rootless", "%t", r.Rootless.Rootless)
	if r.Rootless.Rootless {
		line(" User", "%s (%d:%d)", r.Rootless.User, r.Rootless.UID, r.Rootless.GID)
		line(" Subordinate UIDs", "%s", rangeText(r.Rootless.SubUIDs))
		line(" Subordinate GIDs", "%s", rangeText(r.Rootless.SubGIDs))
		line(" Pause Process", "%d", r.Rootless.PausePID)
		line(" Fast Entry", "%t", r.Rootless.EntryStub)
	}
	if _, err := env.Out.Write([]byte(b.String())); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		env.Warn(w)
	}
	return nil
}

func rangeText(ranges []rootless.Range) string {
	if len(ranges) == 0 {
		return "none"
	}
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = fmt.Sprintf("%d-%d", r.Start, r.Start+r.Length-1)
	}
	return strings.Join(words, ", ")
}

// securityOptions has Docker's form: scripts look in it for name=rootless.
func securityOptions(r rootless.Status) []string {
	options := []string{"name=seccomp,profile=builtin"}
	if r.Rootless {
		options = append(options, "name=rootless")
	}
	return options
}

// operatingSystem is the distribution's own name for itself.
func operatingSystem() string {
	data, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"'`)
		}
	}
	return "Linux"
}

func firstLine(path string) string {
	data, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

func memTotal() int64 {
	var kb int64
	fmt.Sscanf(firstLine("/proc/meminfo"), "MemTotal: %d kB", &kb)
	return kb << 10
}
