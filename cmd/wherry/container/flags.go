package container

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit/values"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/signals"
)

// checked is a text flag whose value must pass check. An empty one is as good as none, as in Docker: scripts write
// --name "$NAME".
func checked(p *string, names, usage string, check func(string) error) *cmdkit.Flag {
	unset := *p
	f := cmdkit.Func(names, usage, func(s string) error {
		if s == "" {
			*p = unset
			return nil
		}
		*p = s
		return check(s)
	})
	f.Default = *p
	return f
}

func (w *wish) processFlags() []cli.Flag {
	p := &w.Config.Process
	return []cli.Flag{
		cmdkit.Func("attach a", "Connect only to `stdin|stdout|stderr`", func(s string) error {
			s = strings.ToLower(s)
			w.attach = append(w.attach, s)
			return values.OneOf(s, "stdin", "stdout", "stderr")
		}),
		cmdkit.Func("entrypoint", "Run `PROGRAM` in place of the image's entrypoint; a JSON list has arguments", w.entrypoint),
		cmdkit.Strings(&p.Groups, "group-add", "Be in `GROUP` too"),
		checked(&w.Config.Hostname, "hostname h", "Host `NAME` of the container", values.Hostname),
		cmdkit.Bool(&p.Init, "init", "Run an init process that reaps zombies and forwards signals"),
		cmdkit.Bool(&w.interactive, "interactive i", "Keep standard input open"),
		cmdkit.Bool(&p.Terminal, "tty t", "Give the container a terminal"),
		checked(&p.Umask, "umask", "Octal `MODE` of the umask", values.Umask),
		cmdkit.String(&w.User, "user u", "Run as `USER[:GROUP]`, names of the image or numbers"),
		checked(&w.WorkDir, "workdir w", "Run in `DIR` of the container", values.AbsolutePath),
	}
}

// entrypoint takes a program, a JSON list of words, or nothing to drop the image's.
func (w *wish) entrypoint(s string) error {
	w.Entrypoint = []string{}
	switch {
	case s == "":
	case strings.HasPrefix(s, "["):
		if err := json.Unmarshal([]byte(s), &w.Entrypoint); err != nil {
			return fmt.Errorf("it is not a JSON list of words")
		}
	default:
		w.Entrypoint = []string{s}
	}
	return nil
}

func (w *wish) lifeFlags() []cli.Flag {
	l := &w.Config.Lifecycle
	cfg := &w.Config
	return []cli.Flag{
		cmdkit.KeyValues(&cfg.Notes, "annotation", "OCI annotation `KEY=VALUE`"),
		cmdkit.String(&l.CIDFile, "cidfile", "Write the id to `FILE`"),
		cmdkit.KeyValues(&cfg.Labels, "label l", "Label `KEY=VALUE`"),
		cmdkit.Func("label-file", "Labels from `FILE`, a KEY=VALUE each line", func(s string) error {
			if cfg.Labels == nil {
				cfg.Labels = map[string]string{}
			}
			return values.LabelFile(s, cfg.Labels)
		}),
		checked(&cfg.Name, "name", "`NAME` of the container", values.Name),
		cmdkit.Bool(&w.Replace, "replace", "Remove a container of the same name first"),
		cmdkit.Func("restart", "When it ends, start it again: `no|always|unless-stopped|on-failure[:MAX]`", func(s string) (err error) {
			l.Restart, l.MaxRetries, err = values.Restart(s)
			return err
		}),
		cmdkit.Bool(&l.AutoRemove, "rm", "Remove the container when it ends"),
		cmdkit.String(&cfg.Runtime, "runtime", "Run it with this OCI `RUNTIME`, a name or a path"),
		checked(&l.StopSignal, "stop-signal", "`SIGNAL` that stop sends", func(s string) error {
			_, err := signals.Parse(s)
			return err
		}),
		cmdkit.OptInt(&l.StopTimeout, "stop-timeout", "`SECONDS` from the stop signal to the kill, -1 to wait for ever"),
		cmdkit.Func("timeout", "Kill the container after `SECONDS`", func(s string) (err error) {
			l.Timeout, err = values.Count(s)
			return err
		}),
	}
}

func (w *wish) mountFlags() []cli.Flag {
	add := func(parse func(string) (record.Mount, error)) func(string) error {
		return func(s string) error {
			m, err := parse(s)
			w.Config.Mounts = append(w.Config.Mounts, m)
			return err
		}
	}
	return []cli.Flag{
		cmdkit.Func("mount", "Mount `type=TYPE,source=SRC,target=DIR...`; types bind, volume, tmpfs", add(values.Mount)),
		cmdkit.Func("tmpfs", "Mount an empty tmpfs at `DIR[:OPTIONS]`", add(values.Tmpfs)),
		cmdkit.Func("volume v", "Mount `[SOURCE:]DIR[:OPTIONS]`: a host path or a volume's name", add(values.Volume)),
		cmdkit.Bool(&w.Config.Rootfs.ReadOnly, "read-only", "Make the root file system read-only"),
		cmdkit.Func("shm-size", "`SIZE` of /dev/shm, 64m if not given", func(s string) (err error) {
			w.Config.Rootfs.ShmSize, err = values.Bytes(s)
			return err
		}),
	}
}

func (w *wish) securityFlags() []cli.Flag {
	s := &w.Config.Security
	capability := func(p *[]string) func(string) error {
		return func(list string) error {
			for _, name := range strings.Split(list, ",") {
				full, err := caps.Normalize(name)
				if err != nil {
					return err
				}
				*p = append(*p, full)
			}
			return nil
		}
	}
	return []cli.Flag{
		cmdkit.Func("cap-add", "Allow `CAPABILITY`, or ALL", capability(&s.CapAdd)),
		cmdkit.Func("cap-drop", "Forbid `CAPABILITY`, or ALL", capability(&s.CapDrop)),
		cmdkit.Func("device", "Add device `HOST[:CONTAINER][:rwm]`", func(text string) error {
			d, err := values.Device(text)
			s.Devices = append(s.Devices, d)
			return err
		}),
		cmdkit.Bool(&s.Privileged, "privileged", "All capabilities and devices, no confinement"),
		cmdkit.Func("security-opt", "`no-new-privileges|seccomp=FILE|apparmor=PROFILE|label=...|mask=PATHS|unmask=PATHS`", func(text string) error {
			return securityOpt(s, text)
		}),
		cmdkit.Func("userns", "User namespace: `host|keep-id[:uid=N,gid=N]|nomap`", func(text string) (err error) {
			s.UserNS, err = values.UserNS(text)
			return err
		}),
	}
}

const maxProfile = 4 << 20

// securityOpt takes KEY=VALUE, and Docker's older KEY:VALUE.
func securityOpt(s *record.Security, text string) error {
	key, value, hasValue := strings.Cut(text, "=")
	if !hasValue {
		key, value, hasValue = strings.Cut(text, ":")
	}
	switch key {
	case "no-new-privileges":
		s.NoNewPrivileges = !hasValue || value == "true"
		if hasValue {
			return values.OneOf(value, "true", "false")
		}
		return nil
	case "seccomp":
		return seccompProfile(s, value)
	case "apparmor":
		s.AppArmor = value
	case "label":
		s.Label = append(s.Label, value)
	case "mask":
		s.Mask = append(s.Mask, strings.Split(value, ":")...)
	case "unmask":
		s.Unmask = append(s.Unmask, strings.Split(value, ":")...)
	case "systempaths":
		s.Unmask = append(s.Unmask, "ALL")
		return values.OneOf(value, "unconfined")
	case "proc-opts", "writable-cgroups":
		return fmt.Errorf("%s is not there yet", key)
	default:
		return fmt.Errorf("there is no such option (no-new-privileges, seccomp, apparmor, label, mask, unmask, systempaths are)")
	}
	if value == "" {
		return fmt.Errorf("%s needs a value", key)
	}
	return nil
}

// seccompProfile keeps the profile itself, so that the container does not depend on the file.
func seccompProfile(s *record.Security, value string) error {
	switch value {
	case "":
		return fmt.Errorf("seccomp needs a file, unconfined or builtin")
	case "unconfined":
		s.Seccomp = value
		return nil
	case "builtin":
		s.Seccomp = ""
		return nil
	}
	f, err := os.Open(value)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProfile))
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return fmt.Errorf("the file is not JSON")
	}
	s.Seccomp = string(data)
	return nil
}

func (w *wish) resourceFlags() []cli.Flag {
	r := &w.Config.Resources
	size := func(p *int64, names, usage string, parse func(string) (int64, error)) *cmdkit.Flag {
		return cmdkit.Func(names, usage, func(s string) (err error) {
			*p, err = parse(s)
			return err
		})
	}
	return []cli.Flag{
		cmdkit.Func("cpu-shares c", "Weight of its processor time, `2 to 262144`; 1024 if not given", func(s string) (err error) {
			r.CPUShares, err = values.CPUShares(s)
			return err
		}),
		size(&r.NanoCPUs, "cpus", "At most so many processors, `NUMBER` with a fraction", values.CPUs),
		checked(&r.CPUSet, "cpuset-cpus", "Only the processors in `LIST`, as 0-3,5", values.CPUSet),
		size(&r.Memory, "memory m", "At most `SIZE` of memory", values.Memory),
		size(&r.MemoryReservation, "memory-reservation", "`SIZE` of memory to keep when it is scarce", values.Bytes),
		size(&r.MemorySwap, "memory-swap", "At most `SIZE` of memory and swap together, -1 for no limit", values.MemorySwap),
		cmdkit.Func("oom-score-adj", "How soon it is killed when memory ends, `-1000 to 1000`", func(s string) error {
			n, err := values.OOMScoreAdj(s)
			r.OOMScoreAdj = &n
			return err
		}),
		cmdkit.Func("pids-limit", "At most `NUMBER` processes, -1 for no limit", func(s string) error {
			n, err := values.PidsLimit(s)
			r.Pids = &n
			return err
		}),
		cmdkit.Func("ulimit", "Limit `NAME=SOFT[:HARD]`, as nofile=1024:2048", func(s string) error {
			u, err := values.Ulimit(s)
			r.Ulimits = append(r.Ulimits, u)
			return err
		}),
	}
}

func (w *wish) networkFlags() []cli.Flag {
	n := &w.Config.Network
	network := cmdkit.Func("network net", "Network: `none|host|private`", func(s string) (err error) {
		n.Mode, err = values.Network(s)
		return err
	})
	network.Default = n.Mode
	return []cli.Flag{
		cmdkit.Func("add-host", "Line `NAME:IP` in /etc/hosts", func(s string) error {
			line, err := values.AddHost(s)
			n.Hosts = append(n.Hosts, line)
			return err
		}),
		cmdkit.Func("dns", "Name server `IP`", func(s string) error {
			n.DNS = append(n.DNS, s)
			return values.Addr(s)
		}),
		cmdkit.Strings(&n.DNSOpts, "dns-option dns-opt", "`OPTION` of resolv.conf"),
		cmdkit.Strings(&n.Search, "dns-search", "Search `DOMAIN` of resolv.conf"),
		network,
	}
}

func (w *wish) imageFlags() []cli.Flag {
	pass := func(names, usage string) *cmdkit.Flag {
		name := strings.Fields(names)[0]
		return cmdkit.Func(names, usage, func(s string) error {
			w.pullArgs = append(w.pullArgs, "--"+name+"="+s)
			return nil
		})
	}
	tls := pass("tls-verify", "Insist on HTTPS with a trusted certificate when pulling")
	tls.Bool = true
	return []cli.Flag{
		pass("arch", "Pull the image for `ARCH`"),
		pass("authfile", "`FILE` with the log-ins of registries"),
		pass("cert-dir", "`DIR` with the CA and certificates for the registry"),
		pass("creds", "`USER:PASSWORD` for the registry"),
		pass("os", "Pull the image for `OS`"),
		checked(&w.Platform, "platform", "Pull the image for `OS/ARCH[/VARIANT]`", values.Platform),
		checked(&w.Pull, "pull", "When to ask the registry: `always|missing|never|newer`", func(s string) error {
			return values.OneOf(s, "always", "missing", "never", "newer")
		}),
		cmdkit.Bool(&w.quiet, "quiet q", "Do not show how a pull goes"),
		pass("retry", "Try a pull again `NUMBER` times"),
		pass("retry-delay", "`DURATION` between two tries of a pull"),
		tls,
		pass("variant", "Pull the image for `VARIANT` of the architecture"),
	}
}

// health is the health check that the flags ask for, made at the first of them.
func (w *wish) health() *record.Health {
	w.HealthSet = true
	if w.Config.Health == nil {
		w.Config.Health = &record.Health{}
	}
	return w.Config.Health
}

func (w *wish) healthFlags() []cli.Flag {
	duration := func(name, usage string, field func(h *record.Health, s string) error) *cmdkit.Flag {
		return cmdkit.Func(name, usage, func(s string) error { return field(w.health(), s) })
	}
	return []cli.Flag{
		cmdkit.Func("health-cmd", "Check health with `COMMAND`, a shell line or a JSON list", w.healthCommand),
		duration("health-interval", "`DURATION` between two checks (30s)", func(h *record.Health, s string) (err error) {
			h.Interval, err = values.Duration(s)
			return err
		}),
		duration("health-timeout", "`DURATION` that a check may take (30s)", func(h *record.Health, s string) (err error) {
			h.Timeout, err = values.Duration(s)
			return err
		}),
		duration("health-start-period", "`DURATION` at the start in which failures do not count", func(h *record.Health, s string) (err error) {
			h.StartPeriod, err = values.Duration(s)
			return err
		}),
		duration("health-start-interval", "`DURATION` between two checks in the start period (5s)", func(h *record.Health, s string) (err error) {
			h.StartInterval, err = values.Duration(s)
			return err
		}),
		duration("health-retries", "Unhealthy after `NUMBER` failures in a row (3)", func(h *record.Health, s string) (err error) {
			h.Retries, err = values.Count(s)
			return err
		}),
		duration("health-on-failure", "When unhealthy: `none|kill|restart|stop`", func(h *record.Health, s string) error {
			h.OnFailure = s
			return values.OneOf(s, "none", "kill", "restart", "stop")
		}),
		cmdkit.Bool(&w.NoHealth, "no-healthcheck", "Drop the image's health check"),
	}
}

// healthCommand takes none, a JSON list ["CMD", ...], or a line for the shell.
func (w *wish) healthCommand(s string) error {
	if strings.EqualFold(s, "none") {
		w.NoHealth = true
		return nil
	}
	h := w.health()
	if !strings.HasPrefix(s, "[") {
		h.Test = []string{"CMD-SHELL", s}
		return nil
	}
	var words []string
	if err := json.Unmarshal([]byte(s), &words); err != nil || len(words) == 0 {
		return fmt.Errorf("it is not a JSON list of words")
	}
	if words[0] != "CMD" && words[0] != "CMD-SHELL" {
		words = append([]string{"CMD"}, words...)
	}
	h.Test = words
	return nil
}
