package container

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

func (w *wish) logFlags() []cli.Flag {
	return []cli.Flag{
		checked(&w.Config.Log.Driver, "log-driver", "Log to `"+logdriver.Drivers+"`", func(s string) error {
			driver, err := logDriver(s)
			w.Config.Log.Driver = driver
			return err
		}),
		cmdkit.KeyValues(&w.logOpts, "log-opt", "Option `KEY=VALUE` of the log driver, as max-size=10m or tag={{.Name}}"),
	}
}

// logDriver knows Docker's and Podman's other drivers by name.
func logDriver(s string) (string, error) {
	far := []string{"fluentd", "gelf", "awslogs", "splunk", "gcplogs", "etwlogs", "logentries"}
	switch {
	case s == "passthrough-tty": // Podman's word for passthrough that may be a terminal; ours may be
		return logdriver.Passthrough, nil
	case slices.Contains(far, s):
		return "", fmt.Errorf("wherry sends no logs over the network; use journald or syslog and let that daemon forward them")
	}
	return s, values.OneOf(s, strings.Split(logdriver.Drivers, "|")...)
}

// takesLogOpt says whether the log driver has the option. One of containers.conf is for the drivers that do.
func (w *wish) takesLogOpt(option string) bool {
	name, _, _ := strings.Cut(option, "=")
	return logdriver.Takes(w.Config.Log.Driver, name)
}

// finishLog settles the log: a relative path is the caller's.
func (w *wish) finishLog() error {
	log := &w.Config.Log
	log.Opts = w.logOpts
	if path := log.Opts["path"]; path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return cmdkit.Usagef("log option path=%s: %v", path, err)
		}
		log.Opts["path"] = abs
	}
	if err := libpod.CheckLog(*log); err != nil {
		return cmdkit.Usagef("%s", err)
	}
	return nil
}
