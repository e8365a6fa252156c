package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

// checkCommand takes a JSON list ["CMD", ...], or a line for the shell.
func checkCommand(s string) ([]string, error) {
	if !strings.HasPrefix(s, "[") {
		return []string{"CMD-SHELL", s}, nil
	}
	var words []string
	if err := json.Unmarshal([]byte(s), &words); err != nil || len(words) == 0 {
		return nil, fmt.Errorf("it is not a JSON list of words")
	}
	if words[0] != "CMD" && words[0] != "CMD-SHELL" {
		words = append([]string{"CMD"}, words...)
	}
	return words, nil
}

// startup is the check of the start that the flags ask for, made at the first of them.
func (w *wish) startup() *record.StartupHealth {
	h := w.health()
	if h.Startup == nil {
		h.Startup = &record.StartupHealth{}
	}
	return h.Startup
}

// healthLogFlags are Podman's: what is kept of the probes, and a check of its own for the start.
func (w *wish) healthLogFlags() []cli.Flag {
	bound := func(field func(*record.HealthLog) **int) func(string) error {
		return func(s string) error {
			n, err := values.Count(s)
			*field(&w.health().Log) = &n
			return err
		}
	}
	return []cli.Flag{
		cmdkit.Func("health-log-destination", "Keep what the checks said in health.json alone (local), as events (events_logger), or also in `DIR`", func(s string) error {
			w.health().Log.Destination = s
			if s == "local" || s == "events_logger" || filepath.IsAbs(s) {
				return nil
			}
			return errors.New("it is local, events_logger or an absolute directory")
		}),
		cmdkit.Func("health-max-log-count", "Keep the last `NUMBER` checks (5), 0 for all", bound(func(l *record.HealthLog) **int { return &l.MaxCount })),
		cmdkit.Func("health-max-log-size", "Keep `NUMBER` characters of what a check says (4096), 0 for all", bound(func(l *record.HealthLog) **int { return &l.MaxSize })),
		cmdkit.Func("health-startup-cmd", "Until `COMMAND` succeeds the container is starting and not checked otherwise", func(s string) (err error) {
			w.startup().Test, err = checkCommand(s)
			return err
		}),
		cmdkit.Func("health-startup-interval", "`DURATION` between two checks of the start (30s)", func(s string) (err error) {
			w.startup().Interval, err = values.Duration(s)
			return err
		}),
		cmdkit.Func("health-startup-retries", "After `NUMBER` failures in the start the container is started again; 0 for never", func(s string) (err error) {
			w.startup().Retries, err = values.Count(s)
			return err
		}),
		cmdkit.Func("health-startup-success", "`NUMBER` of successes that end the start (1)", func(s string) (err error) {
			w.startup().Successes, err = values.Count(s)
			return err
		}),
		cmdkit.Func("health-startup-timeout", "`DURATION` that a check of the start may take (30s)", func(s string) (err error) {
			w.startup().Timeout, err = values.Duration(s)
			return err
		}),
	}
}
