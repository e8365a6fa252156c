package libpod

import (
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// mergeHealthLog lays what the user says over what was said before.
func mergeHealthLog(user, before record.HealthLog) record.HealthLog {
	before.Destination = firstOf(user.Destination, before.Destination)
	if user.MaxCount != nil {
		before.MaxCount = user.MaxCount
	}
	if user.MaxSize != nil {
		before.MaxSize = user.MaxSize
	}
	return before
}

// mergeStartup does the same for the check of the start.
func mergeStartup(user, before *record.StartupHealth) *record.StartupHealth {
	if user == nil || before == nil {
		if user == nil {
			user = before
		}
		return withStartupDefaults(user)
	}
	merged := *before
	if len(user.Test) > 0 {
		merged.Test = user.Test
	}
	merged.Interval = firstPositive(user.Interval, before.Interval)
	merged.Timeout = firstPositive(user.Timeout, before.Timeout)
	merged.Retries = firstPositive(user.Retries, before.Retries)
	merged.Successes = firstPositive(user.Successes, before.Successes)
	return withStartupDefaults(&merged)
}

func withStartupDefaults(s *record.StartupHealth) *record.StartupHealth {
	if s == nil {
		return nil
	}
	s.Interval = firstPositive(s.Interval, healthInterval)
	s.Timeout = firstPositive(s.Timeout, healthTimeout)
	return s
}

// checkStartup refuses a check of the start that has no command, or nothing to be followed by.
func checkStartup(asked, settled *record.Health) error {
	if asked == nil || asked.Startup == nil {
		return nil
	}
	switch {
	case settled == nil:
		return errdefs.New(errdefs.ErrInvalid, "--health-startup flags need a health check that follows (--health-cmd)")
	case len(settled.Startup.Test) == 0:
		return errdefs.New(errdefs.ErrInvalid, "--health-startup flags need --health-startup-cmd")
	}
	return nil
}
