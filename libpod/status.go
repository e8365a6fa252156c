package libpod

import (
	"fmt"
	"time"

	"github.com/docker/go-units"

	"github.com/wherry-containers/wherry/libpod/record"
)

// StatusText is what `ps` says of a container, in Docker's words: "Up 3 minutes (healthy)", "Exited (0) 2 hours ago".
func (s *Summary) StatusText(now time.Time) string {
	ago := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) + " ago" }
	switch s.Status {
	case record.Running:
		up := "Up " + units.HumanDuration(now.Sub(s.StartedAt))
		switch s.Health {
		case "":
			return up
		case "starting":
			return up + " (health: starting)"
		}
		return up + " (" + s.Health + ")"
	case record.Paused:
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt)) + " (Paused)"
	case record.Restarting:
		return fmt.Sprintf("Restarting (%d) %s", s.ExitCode, ago(s.FinishedAt))
	case record.Initialized:
		return "Initialized"
	case record.Removing:
		return "Removal In Progress"
	case record.Exited:
		if s.FinishedAt.IsZero() {
			return fmt.Sprintf("Exited (%d)", s.ExitCode)
		}
		return fmt.Sprintf("Exited (%d) %s", s.ExitCode, ago(s.FinishedAt))
	}
	return "Created"
}
