package container

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
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
		cmdkit.Bool(&s.Privileged, "privileged", "All capabilities and devices, no confinement"),
		cmdkit.Func("security-opt", "`no-new-privileges|seccomp=FILE|apparmor=PROFILE|label=...|mask=PATHS|unmask=PATHS`", func(text string) error {
			return values.SecurityOpt(s, text, seccompProfile)
		}),
	}
}

const maxProfile = 4 << 20

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
	return append(w.healthLogFlags(), []cli.Flag{
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
	}...)
}

// healthCommand takes none, a JSON list ["CMD", ...], or a line for the shell.
func (w *wish) healthCommand(s string) error {
	if strings.EqualFold(s, "none") {
		w.NoHealth = true
		return nil
	}
	h := w.health()
	var err error
	h.Test, err = checkCommand(s)
	return err
}
