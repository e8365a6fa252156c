package libpod

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

type rowTest func(*Summary) bool

// listFilter turns the options into one test of a row. Values of one key are alternatives, keys must all hold, but
// for labels, which must all hold, as in Docker.
func (e *Engine) listFilter(ctx context.Context, opts ListOptions) (rowTest, error) {
	var tests []rowTest
	for key, values := range opts.Filters {
		var any []rowTest
		for _, value := range values {
			test, err := e.rowTest(ctx, key, value)
			if err != nil {
				return nil, err
			}
			any = append(any, test)
		}
		if key == "label" || key == "label!" {
			tests = append(tests, any...)
			continue
		}
		tests = append(tests, func(s *Summary) bool {
			return slices.ContainsFunc(any, func(t rowTest) bool { return t(s) })
		})
	}
	if !opts.All && opts.Last == 0 && len(opts.Filters["status"]) == 0 && len(opts.Filters["exited"]) == 0 {
		tests = append(tests, func(s *Summary) bool {
			return s.Status == record.Running || s.Status == record.Paused || s.Status == record.Restarting
		})
	}
	return func(s *Summary) bool {
		return !slices.ContainsFunc(tests, func(t rowTest) bool { return !t(s) })
	}, nil
}

func (e *Engine) rowTest(ctx context.Context, key, value string) (rowTest, error) {
	switch key {
	case "id":
		return func(s *Summary) bool { return strings.HasPrefix(s.ID, value) }, nil
	case "name":
		return nameTest(value)
	case "label":
		return func(s *Summary) bool { return matchLabel(s.Labels, value) }, nil
	case "label!":
		return func(s *Summary) bool { return !matchLabel(s.Labels, value) }, nil
	case "status":
		return statusTest(value)
	case "exited":
		code, err := strconv.Atoi(value)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter exited=%s (a number)", value)
		}
		return func(s *Summary) bool { return s.Status == record.Exited && s.ExitCode == code }, nil
	case "ancestor":
		return e.ancestorTest(ctx, value), nil
	case "before", "since":
		return e.ageTest(key, value)
	case "until":
		return untilTest(value)
	case "volume":
		return func(s *Summary) bool { return slices.Contains(s.Mounts, value) || slices.Contains(s.Targets, value) }, nil
	case "network":
		return func(s *Summary) bool { return slices.Contains(s.Networks, value) }, nil
	case "health":
		return healthTest(value)
	case "restart-policy", "command", "should-start-on-boot", "is-task":
		return wishTest(key, value)
	case "publish", "expose":
		return portTest(key, value)
	case "pod":
		return nil, errdefs.New(errdefs.ErrUnsupported, "filter %q is not there yet", key)
	}
	return nil, errdefs.New(errdefs.ErrInvalid, "unknown filter %q (%s)", key, filterKeys)
}

// filterKeys are the keys that rowTest knows.
const filterKeys = "id, name, label, label!, status, exited, ancestor, before, since, until, volume, network, health, command, restart-policy, should-start-on-boot, publish, expose, is-task"

func healthTest(value string) (rowTest, error) {
	if !slices.Contains([]string{"starting", "healthy", "unhealthy", "none"}, value) {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter health=%s (starting, healthy, unhealthy, none)", value)
	}
	return func(s *Summary) bool { return firstOf(s.Health, "none") == value }, nil
}

// wishTest looks at what was asked for when the container was made. No container is a task of a swarm.
func wishTest(key, value string) (rowTest, error) {
	switch key {
	case "restart-policy":
		if !slices.Contains([]string{"no", "always", "unless-stopped", "on-failure"}, value) {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter restart-policy=%s (no, always, unless-stopped, on-failure)", value)
		}
		return func(s *Summary) bool { return s.Restart == value }, nil
	case "command":
		return func(s *Summary) bool { return len(s.Command) > 0 && s.Command[0] == value }, nil
	}
	want, err := parseBool(key, value)
	if key == "is-task" {
		return func(*Summary) bool { return !want }, err
	}
	return func(s *Summary) bool {
		boot := s.Restart == "always" || s.Restart == "unless-stopped" && !s.UserStopped
		return boot == want
	}, err
}

// nameTest matches a regular expression anywhere in the name, as Docker does.
func nameTest(value string) (rowTest, error) {
	expr, err := regexp.Compile(value)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter name=%s: %v", value, err)
	}
	return func(s *Summary) bool { return expr.MatchString(s.Name) || expr.MatchString("/"+s.Name) }, nil
}

func statusTest(value string) (rowTest, error) {
	known := []record.Status{record.Created, record.Initialized, record.Running, record.Paused, record.Restarting, record.Exited, record.Removing}
	want := record.Status(value)
	if value == "stopped" {
		want = record.Exited
	}
	if !slices.Contains(known, want) && value != "dead" {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter status=%s (created, initialized, running, paused, restarting, exited, removing, dead)", value)
	}
	return func(s *Summary) bool { return s.Status == want }, nil
}

// ancestorTest matches containers made from an image or one that has it below: by id, name, or shared layers.
func (e *Engine) ancestorTest(ctx context.Context, value string) rowTest {
	img, err := e.images.Lookup(ctx, value)
	if err != nil {
		return func(s *Summary) bool { return s.Image == value }
	}
	return func(s *Summary) bool { return s.ImageID == img.ID || s.Image == value }
}

func (e *Engine) ageTest(key, ref string) (rowTest, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return nil, err
	}
	c, err := e.load(id)
	if err != nil {
		return nil, err
	}
	if key == "before" {
		return func(s *Summary) bool { return s.Created.Before(c.Created) }, nil
	}
	return func(s *Summary) bool { return s.Created.After(c.Created) }, nil
}

func untilTest(value string) (rowTest, error) {
	limit, err := parseWhen("until", value)
	if err != nil {
		return nil, err
	}
	return func(s *Summary) bool { return s.Created.Before(limit) }, nil
}

// parseWhen reads a filter's point in time: an age, a time, or seconds since 1970.
func parseWhen(key, value string) (time.Time, error) {
	limit, err := time.Parse(time.RFC3339, value)
	if age, ageErr := time.ParseDuration(value); ageErr == nil {
		limit, err = time.Now().Add(-age), nil
	}
	if seconds, secErr := strconv.ParseInt(value, 10, 64); secErr == nil {
		limit, err = time.Unix(seconds, 0), nil
	}
	if err != nil {
		return limit, errdefs.New(errdefs.ErrInvalid, "invalid filter %s=%s (a duration as 24h, or a time as 2026-01-31T15:04:05Z)", key, value)
	}
	return limit, nil
}

// portTest matches published ports of containers that run: publish by the port of the host, expose by that of the
// container. The value is PORT[-PORT][/PROTOCOL].
func portTest(key, value string) (rowTest, error) {
	ports, protocol, withProtocol := strings.Cut(value, "/")
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, endErr := strconv.ParseUint(last, 10, 16)
	if err != nil || endErr != nil || from > to {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter %s=%s (a port, as 80, 8000-8010 or 53/udp)", key, value)
	}
	return func(s *Summary) bool {
		for _, p := range s.Ports {
			port := uint64(p.HostPort)
			if key == "expose" {
				port = uint64(p.ContainerPort)
			}
			if port >= from && port <= to && (!withProtocol || p.Protocol == protocol) {
				return true
			}
		}
		return false
	}, nil
}
