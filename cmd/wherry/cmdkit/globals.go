package cmdkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/events"
)

// logLevels are Docker's and Podman's, the quietest first. What is at least as quiet as error shows no warnings; debug
// and trace tell at the end what was done where.
var logLevels = []string{"panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"}

// GlobalFlags are the flags before the command that wherry and its companions have in common. A companion gets the whole
// command line, and setenv hands on what a companion or a monitor must see.
func GlobalFlags(env *Env, setenv func(name, value string) error) []cli.Flag {
	move := func(name, usage, variable string) *Flag {
		return Func(name, usage, func(value string) error { return setenv(variable, value) })
	}
	return append(wishFlags(&env.Wish),
		Strings(&env.CDIDirs, "cdi-spec-dir", "Read device descriptions (CDI) from `DIR`"),
		Func("cgroup-manager", "Who makes control groups: `systemd|cgroupfs`; what suits the host if not given", func(s string) error {
			env.CgroupManager = s
			return values.CgroupManager(s)
		}),
		Func("config", "Read and keep log-ins of registries in `DIR`/config.json", func(dir string) error {
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return errors.New("it is not a directory")
			}
			return setenv("REGISTRY_AUTH_FILE", filepath.Join(dir, "config.json"))
		}),
		Func("events-backend", "Keep events in a `file|journald|none`", func(s string) error {
			if err := values.OneOf(s, events.File, events.Journald, events.None); err != nil {
				return err
			}
			return setenv(events.BackendVar, s)
		}),
		Bool(&env.Debug, "debug D", "Tell at the end what was done where, and how long it took"),
		Func("log-level l", "Show `panic|fatal|error|warn|info|debug|trace`: from error down no warnings, from debug on what --debug tells", func(level string) error {
			at := slices.Index(logLevels, level)
			if at < 0 {
				return errors.New("it is panic, fatal, error, warn, info, debug or trace")
			}
			env.Quiet, env.Debug = at <= slices.Index(logLevels, "error"), at >= slices.Index(logLevels, "debug")
			return nil
		}),
		Func("out", "Write the results to `FILE`", env.redirect),
		Strings(&env.HooksDirs, "hooks-dir", "Read descriptions of OCI hooks from `DIR`"),
		Strings(&env.Modules, "module", "Read the containers.conf module `FILE` too"),
		move("root", "Keep images and containers in `DIR`", "WHERRY_DATA"),
		String(&env.Runtime, "runtime", "Run containers with this OCI `RUNTIME`, a name or a path"),
		Strings(&env.RuntimeFlags, "runtime-flag", "Start the OCI runtime with `FLAG`, without the -- before it"),
		move("runroot", "Keep what is gone at reboot in `DIR`", "WHERRY_RUN"),
	)
}

// redirect makes results go to a file.
func (e *Env) redirect(path string) error {
	f, err := os.Create(path)
	if err != nil {
		var of *os.PathError
		if errors.As(err, &of) {
			return of.Err
		}
		return err
	}
	e.OutFile = f
	if out, ok := e.Out.(*Output); ok {
		out.w = f // its failure is still the program's
		return nil
	}
	e.Out = f
	return nil
}

// Refusals are Docker's and Podman's flags before the command that wherry will not have.
func Refusals() []cli.Flag {
	var flags []cli.Flag
	for _, r := range []struct{ names, why string }{
		{"tls-details", "it shows no details of TLS (openssl s_client does)"},
		{"conmon", "its own monitor stays with a container"},
		{"imagestore", "storage.conf names additional image stores, and --root another place for all of them"},
		{"storage-driver storage-opt", "it uses what this machine can do (info shows it)"},
		{"syslog", "it keeps no log of its own (events shows what happened, logs what containers said)"},
		{"tmpdir", "--runroot moves what is gone at reboot, and TMPDIR temporary files"},
		{"transient-store", "--runroot and --root on a tmpfs make a store that is gone at reboot"},
		{"volumepath", "--root moves volumes with everything else (volumes may be a symbolic link there)"},
	} {
		flags = append(flags, Refused(r.names, r.why)...)
	}
	return flags
}

// Tell is what --debug shows at the end.
func (e *Env) Tell(took fmt.Stringer, code int) {
	if e.Debug {
		fmt.Fprintf(e.Err, "Debug: %s, exit %d; store %s, run directory %s, runtime %q\n", took, code, e.Dirs.Data, e.Dirs.Run, e.Runtime)
	}
}
