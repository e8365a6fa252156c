package spec

import (
	"path"
	"sort"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const defaultShm = 64 << 20

// setMounts lists Docker's own mounts, then the generated files, then the user's, shorter targets first. One of the
// user's takes the place of ours with the same target; over /dev also of those below it.
func setMounts(in Input, s *specs.Spec) error {
	user := append([]specs.Mount{}, in.Mounts...)
	taken := make(map[string]bool, len(user))
	for i := range user {
		user[i].Destination = path.Clean(user[i].Destination)
		taken[user[i].Destination] = true
	}
	sort.SliceStable(user, func(i, j int) bool { return depth(user[i].Destination) < depth(user[j].Destination) })

	var out []specs.Mount
	for _, m := range systemMounts(in) {
		if taken[m.Destination] || taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/") {
			continue
		}
		out = append(out, m)
	}
	// The files follow the user's mounts when one of these lies over /etc.
	files := fileMounts(in, taken)
	if taken["/etc"] || taken["/"] {
		out = append(append(out, user...), files...)
	} else {
		out = append(append(out, files...), user...)
	}
	if in.Config.Process.Init {
		out = append(out, specs.Mount{Destination: initTarget, Type: "bind", Source: in.InitPath,
			Options: []string{"bind", "ro", "nosuid", "nodev"}})
	}
	s.Mounts = out
	s.Linux.RootfsPropagation = propagation(user)
	return nil
}

func depth(p string) int {
	if p == "/" {
		return 0
	}
	return strings.Count(p, "/")
}

func systemMounts(in Input) []specs.Mount {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if gidMapped(in, 5) {
		pts = append(pts, "gid=5")
	}
	shm := in.Config.Rootfs.ShmSize
	if shm <= 0 {
		shm = defaultShm
	}
	m := []specs.Mount{
		procMount(in),
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		sysMount(in),
	}
	if c, ok := cgroupMount(in); ok {
		m = append(m, c)
	}
	return append(m, ipcMounts(in, shm)...)
}

// ipcMounts are message queues and shared memory: of the container, or of whose IPC namespace it is in.
func ipcMounts(in Input, size int64) []specs.Mount {
	quiet := []string{"nosuid", "noexec", "nodev"}
	queues := specs.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: quiet}
	shared := specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
		Options: append([]string{"mode=1777", "size=" + strconv.FormatInt(size, 10)}, quiet...)}
	switch {
	case in.Config.Namespaces.IPC == "none":
		return []specs.Mount{queues}
	case in.Config.Namespaces.IPC == "host" && in.Host.Rootless: // the kernel lets only the namespace's owner mount it
		queues = specs.Mount{Destination: "/dev/mqueue", Type: "bind", Source: "/dev/mqueue", Options: append([]string{"bind"}, quiet...)}
	}
	if in.Joined.Shm != "" {
		shared = specs.Mount{Destination: "/dev/shm", Type: "bind", Source: in.Joined.Shm, Options: append([]string{"bind"}, quiet...)}
	}
	if in.Config.Namespaces.IPC == "host" && in.Host.Rootless && !in.Host.Mqueue {
		return []specs.Mount{shared}
	}
	return []specs.Mount{queues, shared}
}

// procMount: the kernel mounts proc only for the owner of the namespace of processes. Of the host's it is a view.
func procMount(in Input) specs.Mount {
	m := specs.Mount{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}}
	uids, _, _ := idMappings(in)
	if in.Config.Namespaces.PID == "host" && (in.Host.Rootless || uids != nil) {
		m.Type, m.Source, m.Options = "bind", "/proc", append([]string{"rbind", "rslave"}, m.Options...)
	}
	return m
}

// sysMount: the kernel lets a user namespace mount sysfs only with a network namespace that belongs to it.
func sysMount(in Input) specs.Mount {
	access := "ro"
	if in.Config.Security.Privileged {
		access = "rw"
	}
	mode := in.Config.Network.Mode
	foreign := in.NetworkPath == "" && (mode == "host" || mode == "")
	uids, _, _ := idMappings(in)
	nested := uids != nil && (mode != "none" || in.Joined.User != "")
	if in.Host.Rootless && (foreign || nested) || foreign && uids != nil {
		return specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys",
			Options: []string{"rbind", "nosuid", "noexec", "nodev", access, "rslave"}}
	}
	return specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}}
}

func cgroupMount(in Input) (specs.Mount, bool) {
	// On v1 only root can mount the controllers, and only with a group of its own there is one to show.
	if in.Cgroup.Version != 2 && (in.Host.Rootless || cgroupsOff(in)) {
		return specs.Mount{}, false
	}
	access := "ro"
	if in.Config.Security.Privileged || in.Config.Process.Systemd {
		access = "rw"
	}
	return specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"nosuid", "noexec", "nodev", access}}, true
}

// notifyTarget is where the socket of --sdnotify container is.
const notifyTarget = "/run/notify"

func fileMounts(in Input, taken map[string]bool) []specs.Mount {
	var out []specs.Mount
	for _, f := range []struct{ source, target string }{
		{in.Files.ResolvConf, "/etc/resolv.conf"}, {in.Files.Hostname, "/etc/hostname"}, {in.Files.Hosts, "/etc/hosts"}, {in.Files.Localtime, "/etc/localtime"}, {in.Files.Notify, notifyTarget},
	} {
		if f.source != "" && !taken[f.target] {
			out = append(out, specs.Mount{Destination: f.target, Type: "bind", Source: f.source, Options: []string{"bind", "rprivate"}})
		}
	}
	return out
}

// propagation is that of the root file system, which must let through what a volume asks for.
func propagation(mounts []specs.Mount) string {
	out := ""
	for _, m := range mounts {
		for _, o := range m.Options {
			switch o {
			case "shared", "rshared":
				return "shared"
			case "slave", "rslave":
				out = "rslave"
			}
		}
	}
	return out
}
