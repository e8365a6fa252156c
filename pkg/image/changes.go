package image

import (
	"encoding/json"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// instruction applies the arguments of one Dockerfile instruction.
type instruction func(c *store.ProcessConfig, args string) error

var instructions = map[string]instruction{
	"CMD":         func(c *store.ProcessConfig, args string) error { c.Cmd = commandLine(args); return nil },
	"ENTRYPOINT":  func(c *store.ProcessConfig, args string) error { c.Entrypoint = commandLine(args); return nil },
	"ENV":         changeEnv,
	"EXPOSE":      changeExpose,
	"LABEL":       changeLabel,
	"USER":        func(c *store.ProcessConfig, args string) error { c.User = args; return nil },
	"VOLUME":      changeVolume,
	"WORKDIR":     changeWorkdir,
	"STOPSIGNAL":  func(c *store.ProcessConfig, args string) error { c.StopSignal = args; return nil },
	"HEALTHCHECK": changeHealth,
	"ONBUILD":     func(c *store.ProcessConfig, args string) error { c.OnBuild = append(c.OnBuild, args); return nil },
}

// ApplyChange applies one --change, a Dockerfile instruction, to an image's configuration. NAME=VALUE is taken for
// NAME VALUE where NAME is an instruction, as Podman has it.
func ApplyChange(c *store.ProcessConfig, change string) error {
	change = strings.TrimSpace(change)
	at := strings.IndexAny(change, " \t=")
	if at < 0 {
		at = len(change)
	}
	apply, known := instructions[strings.ToUpper(change[:at])]
	if !known {
		return errdefs.New(errdefs.ErrInvalid, "invalid --change %q: want CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL, HEALTHCHECK or ONBUILD and its arguments", change)
	}
	args := strings.TrimSpace(strings.TrimPrefix(change[at:], "="))
	if args == "" {
		return errdefs.New(errdefs.ErrInvalid, "invalid --change %q: %s has no argument", change, strings.ToUpper(change[:at]))
	}
	if err := apply(c, args); err != nil {
		return errdefs.New(errdefs.ErrInvalid, "invalid --change %q: %v", change, err)
	}
	return nil
}

// commandLine is the JSON form ["a", "b"], or a line for the shell.
func commandLine(args string) []string {
	if list, ok := jsonList(args); ok {
		return list
	}
	return []string{"/bin/sh", "-c", args}
}

func jsonList(args string) ([]string, bool) {
	var list []string
	if !strings.HasPrefix(args, "[") || json.Unmarshal([]byte(args), &list) != nil {
		return nil, false
	}
	return list, true
}

func changeEnv(c *store.ProcessConfig, args string) error {
	pairs, err := keyValues(args)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		c.Env = setEnv(c.Env, p.key, p.value)
	}
	return nil
}

// setEnv replaces or appends one variable.
func setEnv(env []string, key, value string) []string {
	for i, e := range env {
		if name, _, _ := strings.Cut(e, "="); name == key {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

func changeLabel(c *store.ProcessConfig, args string) error {
	pairs, err := keyValues(args)
	if err != nil {
		return err
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for _, p := range pairs {
		c.Labels[p.key] = p.value
	}
	return nil
}

func changeExpose(c *store.ProcessConfig, args string) error {
	if c.ExposedPorts == nil {
		c.ExposedPorts = map[string]struct{}{}
	}
	for _, word := range strings.Fields(args) {
		ports, proto, given := strings.Cut(strings.ToLower(word), "/")
		if !given {
			proto = "tcp"
		}
		first, last, err := portRange(ports)
		if err != nil || (proto != "tcp" && proto != "udp" && proto != "sctp") {
			return errdefs.New(errdefs.ErrInvalid, "%q is no port: want NUMBER[-NUMBER][/tcp|udp|sctp]", word)
		}
		for port := first; port <= last; port++ {
			c.ExposedPorts[strconv.Itoa(port)+"/"+proto] = struct{}{}
		}
	}
	return nil
}

func portRange(text string) (first, last int, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	lo, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	hi, err := strconv.ParseUint(to, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if lo == 0 || hi < lo {
		return 0, 0, errdefs.ErrInvalid
	}
	return int(lo), int(hi), nil
}

func changeVolume(c *store.ProcessConfig, args string) error {
	list, ok := jsonList(args)
	if !ok {
		list = strings.Fields(args)
	}
	if c.Volumes == nil {
		c.Volumes = map[string]struct{}{}
	}
	for _, dir := range list {
		if dir == "" {
			return errdefs.New(errdefs.ErrInvalid, "a volume needs a path")
		}
		c.Volumes[dir] = struct{}{}
	}
	return nil
}

func changeWorkdir(c *store.ProcessConfig, args string) error {
	if !path.IsAbs(args) {
		args = path.Join("/", c.WorkingDir, args)
	}
	c.WorkingDir = path.Clean(args)
	return nil
}

// changeHealth reads [--interval=DURATION ...] CMD command, or NONE.
func changeHealth(c *store.ProcessConfig, args string) error {
	h := &store.Healthcheck{}
	for strings.HasPrefix(args, "--") {
		word, rest, _ := strings.Cut(args, " ")
		if err := healthOption(h, word); err != nil {
			return err
		}
		args = strings.TrimSpace(rest)
	}
	kind, command, _ := strings.Cut(args, " ")
	command = strings.TrimSpace(command)
	list, isList := jsonList(command)
	switch {
	case strings.EqualFold(kind, "NONE") && command == "":
		h = &store.Healthcheck{Test: []string{"NONE"}}
	case !strings.EqualFold(kind, "CMD") || command == "" || isList && len(list) == 0:
		return errdefs.New(errdefs.ErrInvalid, "want NONE, or CMD and a command")
	case isList:
		h.Test = append([]string{"CMD"}, list...)
	default:
		h.Test = []string{"CMD-SHELL", command}
	}
	c.Healthcheck = h
	return nil
}

func healthOption(h *store.Healthcheck, word string) error {
	name, value, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	durations := map[string]*time.Duration{"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval}
	var err error
	if into, ok := durations[name]; ok {
		if *into, err = time.ParseDuration(value); err == nil && *into < 0 {
			err = errdefs.ErrInvalid
		}
	} else if name == "retries" {
		h.Retries, err = strconv.Atoi(value)
	} else {
		return errdefs.New(errdefs.ErrInvalid, "unknown option %s", word)
	}
	if err != nil || h.Retries < 0 {
		return errdefs.New(errdefs.ErrInvalid, "%q is not a value for --%s", value, name)
	}
	return nil
}

// pair is one key=value.
type pair struct{ key, value string }

// keyValues reads NAME=VALUE ..., with quotes and backslashes as in a Dockerfile, or the old form NAME VALUE.
func keyValues(args string) ([]pair, error) {
	words, err := splitWords(args)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(words[0], "=") {
		name, value, found := strings.Cut(strings.TrimSpace(args), " ")
		if !found {
			return nil, errdefs.New(errdefs.ErrInvalid, "%q needs a value (%s=VALUE)", name, name)
		}
		return []pair{{name, strings.TrimSpace(value)}}, nil
	}
	var out []pair
	for _, word := range words {
		key, value, found := strings.Cut(word, "=")
		if !found || key == "" {
			return nil, errdefs.New(errdefs.ErrInvalid, "%q is not NAME=VALUE", word)
		}
		out = append(out, pair{key, value})
	}
	return out, nil
}

// splitWords splits at blanks outside of quotes and takes quotes and backslashes away. There is at least one word.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	started, escaped := false, false
	for _, r := range text {
		switch {
		case escaped:
			if quote == '"' && r != '"' && r != '\\' && r != '$' {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if started {
				words = append(words, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "a quote (%c) is not closed", quote)
	}
	if started {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "no argument")
	}
	return words, nil
}
