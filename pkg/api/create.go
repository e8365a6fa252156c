package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/logdriver"
	"github.com/wherry-containers/wherry/pkg/signals"
)

// createBody is the body of create: the present one, and what versions before 1.44 had.
type createBody struct {
	container.CreateRequest
	MacAddress string // of the container, on its network
}

func (s *Server) containerCreate(w *response, r *request) error {
	var body createBody
	if err := r.decode(w, &body); err != nil {
		return err
	}
	if body.Config == nil {
		return invalid("config cannot be empty in order to create a container")
	}
	if body.HostConfig == nil {
		body.HostConfig = &container.HostConfig{}
	}
	opts, err := s.createOptions(r, &body)
	if err != nil {
		return err
	}
	id, err := s.engine.Create(r.work(), opts)
	switch {
	case libpod.IsImageMissing(err):
		return noSuch("image", tagged(body.Image))
	case errors.Is(err, errdefs.ErrNotFound): // clients take a 404 for a missing image, and pull
		return invalid("%v", err)
	case err != nil:
		return s.nameTaken(r, opts.Config.Name, err)
	}
	return w.json(http.StatusCreated, container.CreateResponse{ID: id, Warnings: []string{}})
}

// tagged is how Docker writes the name of an image that is not there.
func tagged(name string) string {
	if last := name[strings.LastIndexByte(name, '/')+1:]; strings.ContainsAny(last, ":@") {
		return name
	}
	return name + ":latest"
}

// createOptions turns a body into what the engine takes: the same struct that the flags of the command line fill.
func (s *Server) createOptions(r *request, body *createBody) (libpod.CreateOptions, error) {
	c := &creation{server: s, body: body, host: body.HostConfig}
	c.cfg = &c.opts.Config
	c.cfg.Name, c.opts.Platform, c.opts.Pull = strings.TrimPrefix(r.param("name"), "/"), r.param("platform"), "never"
	if c.cfg.Name != "" {
		if err := values.Name(c.cfg.Name); err != nil {
			return c.opts, invalid("Invalid container name (%s): %v", c.cfg.Name, err)
		}
	}
	if body.Image == "" {
		return c.opts, invalid("config: no image to create a container of (Image)")
	}
	for _, step := range []func() error{c.process, c.life, c.health, c.log, c.security, c.namespaces, c.limits, c.devices, c.mounts,
		func() error { return c.network(r.Context()) }, c.refused} {
		if err := step(); err != nil {
			return c.opts, err
		}
	}
	return c.opts, nil
}

// creation is one body on its way into the engine's options.
type creation struct {
	server *Server
	body   *createBody
	host   *container.HostConfig
	opts   libpod.CreateOptions
	cfg    *record.Config
}

func (c *creation) process() error {
	b, p := c.body, &c.cfg.Process
	c.cfg.Image.Name, c.opts.Command, c.opts.Entrypoint = b.Image, b.Cmd, b.Entrypoint
	if len(b.Entrypoint) == 1 && b.Entrypoint[0] == "" { // how clients drop the image's
		c.opts.Entrypoint = []string{}
	}
	c.opts.WorkDir, c.opts.User = b.WorkingDir, b.User
	for _, kv := range b.Env { // a name alone takes the variable out: the service's environment is nobody's business
		if name, _, set := strings.Cut(kv, "="); name == "" {
			return invalid("invalid environment variable: %s", kv)
		} else if set {
			c.opts.Env = append(c.opts.Env, kv)
		} else {
			c.opts.EnvWish.Unset = append(c.opts.EnvWish.Unset, kv)
		}
	}
	if b.WorkingDir != "" {
		if err := values.AbsolutePath(b.WorkingDir); err != nil {
			return invalid("the working directory '%s' is invalid, it needs to be an absolute path", b.WorkingDir)
		}
	}
	if b.Hostname != "" {
		if err := values.Hostname(b.Hostname); err != nil {
			return invalid("invalid Hostname %q: %v", b.Hostname, err)
		}
	}
	c.cfg.Hostname, c.cfg.Labels, c.cfg.Notes = b.Hostname, b.Labels, c.host.Annotations
	p.Terminal, p.OpenStdin, p.StdinOnce, p.Groups = b.Tty, b.OpenStdin, b.StdinOnce, c.host.GroupAdd
	p.Init = c.host.Init != nil && *c.host.Init
	p.Rows, p.Columns = small(c.host.ConsoleSize[0]), small(c.host.ConsoleSize[1])
	if c.host.Umask != nil {
		p.Umask = octal(*c.host.Umask)
		if err := values.Umask(p.Umask); err != nil {
			return invalid("invalid Umask %q: %v", p.Umask, err)
		}
	}
	return nil
}

func (c *creation) life() error {
	l, policy := &c.cfg.Lifecycle, c.host.RestartPolicy
	if err := container.ValidateRestartPolicy(policy); err != nil {
		return invalid("%v", err)
	}
	l.AutoRemove, l.Restart, l.MaxRetries = c.host.AutoRemove, string(policy.Name), policy.MaximumRetryCount
	if l.AutoRemove && !policy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	if sig := c.body.StopSignal; sig != "" {
		if _, err := signals.Parse(sig); err != nil {
			return invalid("invalid signal: %s", sig)
		}
	}
	l.StopSignal, l.StopTimeout = c.body.StopSignal, c.body.StopTimeout
	l.Detached = !c.body.AttachStdout && !c.body.AttachStderr
	c.cfg.Runtime = runtimeName(c.host.Runtime)
	return nil
}

// runtimeName knows what containerd calls runc: the default there, as here.
func runtimeName(name string) string {
	if strings.HasPrefix(name, "io.containerd.runc.") {
		return ""
	}
	return name
}

func (c *creation) health() error {
	h := c.body.Healthcheck
	if h == nil {
		return nil
	}
	for field, d := range map[string]int64{"Interval": int64(h.Interval), "Timeout": int64(h.Timeout), "StartPeriod": int64(h.StartPeriod), "StartInterval": int64(h.StartInterval)} {
		if d != 0 && d < int64(container.MinimumDuration) {
			return invalid("%s in Healthcheck cannot be less than %s", field, container.MinimumDuration)
		}
	}
	if h.Retries < 0 {
		return invalid("Retries in Healthcheck cannot be negative")
	}
	if len(h.Test) > 0 && h.Test[0] == "NONE" {
		c.opts.NoHealth = true
		return nil
	}
	if len(h.Test) > 0 && !slices.Contains([]string{"CMD", "CMD-SHELL"}, h.Test[0]) {
		return invalid("invalid Healthcheck: Test begins with NONE, CMD or CMD-SHELL, not with %q", h.Test[0])
	}
	if len(h.Test) == 0 && h.Interval == 0 && h.Timeout == 0 && h.StartPeriod == 0 && h.StartInterval == 0 && h.Retries == 0 {
		return nil // {}: the image's
	}
	c.opts.HealthSet = true
	c.cfg.Health = &record.Health{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod,
		StartInterval: h.StartInterval, Retries: h.Retries}
	return nil
}

func (c *creation) log() error {
	l := c.host.LogConfig
	c.cfg.Log = record.Log{Driver: l.Type, Opts: l.Config}
	switch l.Type {
	case "", "default":
		c.cfg.Log.Driver = logdriver.JSONFile
	case logdriver.Passthrough:
		return unsupported("LogConfig.Type passthrough", "the service's own output is not the client's (use json-file, local, journald, syslog or none)")
	}
	return libpod.CheckLog(c.cfg.Log)
}
