package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/ociruntime"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/logdriver"
	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/store"
)

func systemRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_ping", handle: (*Server).ping},
		{method: http.MethodGet, pattern: "/version", handle: (*Server).version},
		{method: http.MethodGet, pattern: "/info", handle: (*Server).info},
	}
}

func (s *Server) ping(w *response, r *request) error {
	h := w.Header()
	h.Set("Builder-Version", "1") // 2 is BuildKit over /session, which /build also speaks
	h.Set("Swarm", "inactive")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		h.Set("Content-Length", "0")
		return w.empty(http.StatusOK)
	}
	w.WriteHeader(http.StatusOK)
	io.WriteString(w, "OK")
	return nil
}

func (s *Server) version(w *response, r *request) error {
	doc := system.VersionResponse{
		Platform: system.PlatformInfo{Name: "wherry"}, Version: s.opts.Version, APIVersion: MaxVersion, MinAPIVersion: MinVersion,
		GitCommit: s.opts.Commit, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, KernelVersion: kernel(),
	}
	doc.Components = []system.ComponentVersion{{Name: "Engine", Version: s.opts.Version, Details: map[string]string{
		"ApiVersion": MaxVersion, "MinAPIVersion": MinVersion, "GitCommit": s.opts.Commit, "GoVersion": doc.GoVersion, "Os": doc.Os, "Arch": doc.Arch,
		"KernelVersion": doc.KernelVersion, "Experimental": "false"}}}
	return w.json(http.StatusOK, doc)
}

func (s *Server) info(w *response, r *request) error {
	doc := system.Info{
		Debug: false, NFd: openFiles(), NGoroutines: runtime.NumGoroutine(), SystemTime: time.Now().Format(time.RFC3339Nano), LoggingDriver: logdriver.JSONFile,
		KernelVersion: kernel(), OperatingSystem: operatingSystem(), OSType: runtime.GOOS, Architecture: machine(), IndexServerAddress: indexServer,
		NCPU: runtime.NumCPU(), DockerRootDir: s.opts.Dirs.Data, ServerVersion: s.opts.Version, Labels: []string{}, CDISpecDirs: []string{"/etc/cdi", "/var/run/cdi"},
		Plugins: system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null"}, Log: strings.Split(logdriver.Drivers, "|")},
		Swarm:   swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive}, SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"},
		InitBinary: "wherry-init", LiveRestoreEnabled: true, Warnings: []string{}, IPv4Forwarding: true, RegistryConfig: registryConfig(),
		HTTPProxy: s.opts.Getenv("HTTP_PROXY"), HTTPSProxy: s.opts.Getenv("HTTPS_PROXY"), NoProxy: s.opts.Getenv("NO_PROXY"), ID: madeID("host", hostname(), s.opts.Dirs.Data),
	}
	doc.Name = hostname()
	rootless := realuser.Inside() && realuser.UID() != 0
	if rootless {
		doc.SecurityOptions = append(doc.SecurityOptions, "name=rootless")
	}
	var memory unix.Sysinfo_t
	if unix.Sysinfo(&memory) == nil {
		doc.MemTotal = int64(memory.Totalram) * int64(memory.Unit)
	}
	s.limitsInfo(&doc, rootless)
	s.runtimeInfo(&doc)
	if err := s.storeInfo(r.Context(), &doc); err != nil {
		return err
	}
	return w.json(http.StatusOK, doc)
}

const indexServer = "https://index.docker.io/v1/"

func registryConfig() *registry.ServiceConfig {
	return &registry.ServiceConfig{Mirrors: []string{}, IndexConfigs: map[string]*registry.IndexInfo{
		"docker.io": {Name: "docker.io", Mirrors: []string{}, Secure: true, Official: true}}}
}

// limitsInfo says what can be limited here.
func (s *Server) limitsInfo(doc *system.Info, rootless bool) {
	facts := cgroup.Detect(s.opts.Getenv, rootless, realuser.UID())
	has := func(name string) bool { return slices.Contains(facts.Controllers, name) }
	doc.CgroupDriver, doc.CgroupVersion = string(facts.Manager), fmt.Sprint(facts.Version)
	doc.MemoryLimit, doc.SwapLimit, doc.PidsLimit = has("memory"), has("memory"), has("pids")
	doc.CPUCfsPeriod, doc.CPUCfsQuota, doc.CPUShares, doc.CPUSet = has("cpu"), has("cpu"), has("cpu"), has("cpuset")
	if warning := facts.Warning(); warning != "" {
		doc.Warnings = append(doc.Warnings, "WARNING: "+warning)
	}
}

func (s *Server) runtimeInfo(doc *system.Info) {
	found, err := ociruntime.Find("")
	if err != nil {
		doc.Warnings = append(doc.Warnings, "WARNING: "+err.Error())
		return
	}
	doc.DefaultRuntime = string(found.Kind)
	doc.Runtimes = map[string]system.RuntimeWithStatus{doc.DefaultRuntime: {Runtime: system.Runtime{Path: found.Path}}}
}

// storeInfo counts what is there.
func (s *Server) storeInfo(ctx context.Context, doc *system.Info) error {
	rows, err := s.engine.List(ctx, libpod.ListOptions{All: true})
	if err != nil {
		return err
	}
	for i := range rows {
		switch rows[i].Status {
		case record.Running, record.Restarting:
			doc.ContainersRunning++
		case record.Paused:
			doc.ContainersPaused++
		default:
			doc.ContainersStopped++
		}
	}
	doc.Containers = len(rows)
	images, err := store.Open(s.opts.Dirs).Images(ctx)
	if err != nil {
		doc.Warnings = append(doc.Warnings, "WARNING: "+err.Error())
	}
	doc.Images = len(images)
	found, err := rootfs.Detect(ctx, s.opts.Dirs)
	if err != nil {
		doc.Warnings = append(doc.Warnings, "WARNING: "+err.Error())
	}
	doc.Driver, doc.DriverStatus = found.Driver, [][2]string{{"Backing Filesystem", found.FS}}
	return nil
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

func kernel() string { return utsname(func(u *unix.Utsname) []byte { return u.Release[:] }) }

func machine() string { return utsname(func(u *unix.Utsname) []byte { return u.Machine[:] }) }

func utsname(field func(*unix.Utsname) []byte) string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	text, _, _ := bytes.Cut(field(&u), []byte{0})
	return string(text)
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

func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
