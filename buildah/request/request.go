// Package request turns what a user asks for with build into what BuildKit's client sends, as docker buildx does it.
package request

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/tonistiigi/fsutil"

	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Surroundings is where the user is.
type Surroundings struct {
	In     io.Reader
	Out    *os.File // for outputs to -
	Getenv func(string) string
	Lookup func(string) (string, bool) // of the environment
}

// Request is a build as BuildKit's client wants it. Close it.
type Request struct {
	Solve client.SolveOpt
	Dirs  map[string]string // the local directories by name

	opts option.Build
	env  Surroundings
	undo []func()
	in   io.Reader // what is left of the input
}

// New makes a request.
func New(o option.Build, env Surroundings) (*Request, error) {
	r := &Request{opts: o, env: env, in: env.In, Dirs: map[string]string{}, Solve: client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{},
	}}
	for _, add := range []func() error{
		r.addArgs, r.addContext, r.addContexts, r.addPlan, r.addSteps, r.addResult, r.addCaches, r.addAttests, r.addSession,
	} {
		if err := add(); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// Close removes the temporary files of the request.
func (r *Request) Close() {
	for _, undo := range r.undo {
		undo()
	}
	r.undo = nil
}

func (r *Request) set(name, value string) { r.Solve.FrontendAttrs[name] = value }

func invalid(format string, args ...any) error {
	return errdefs.New(errdefs.ErrInvalid, format, args...)
}

// proxies are the variables of a proxy that Docker's clients pass on.
var proxies = []string{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}

// addArgs takes the build arguments of the files, then those of the flags, then the user's proxies.
func (r *Request) addArgs() error {
	args := map[string]string{}
	for _, file := range r.opts.ArgFiles {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--build-arg-file: %w", err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			name, value, ok := strings.Cut(line, "=")
			if !ok || name == "" {
				return invalid("--build-arg-file %s, line %d: NAME=VALUE is expected", file, i+1)
			}
			args[name] = value
		}
	}
	for _, a := range r.opts.Args {
		name, value, ok := strings.Cut(a, "=")
		if name == "" {
			return invalid("--build-arg %q: NAME=VALUE is expected", a)
		}
		if !ok {
			if value, ok = r.env.Lookup(name); !ok {
				continue
			}
		}
		args[name] = value
	}
	if syntax, ok := args["BUILDKIT_SYNTAX"]; ok {
		source, _, _ := strings.Cut(strings.TrimSpace(syntax), " ")
		r.Solve.Frontend = "gateway.v0"
		r.set("source", source)
		r.set("cmdline", syntax)
	}
	r.addProxies(args)
	if epoch := r.opts.Result.Epoch; epoch != nil {
		args["SOURCE_DATE_EPOCH"] = strconv.FormatInt(*epoch, 10)
	} else if _, ok := args["SOURCE_DATE_EPOCH"]; !ok {
		if v := r.env.Getenv("SOURCE_DATE_EPOCH"); v != "" {
			args["SOURCE_DATE_EPOCH"] = v
		}
	}
	for name, value := range args {
		r.set("build-arg:"+name, value)
	}
	return nil
}

func (r *Request) addProxies(args map[string]string) {
	if r.opts.Steps.NoProxy {
		return
	}
	given := map[string]bool{}
	for name := range args {
		given[strings.ToLower(name)] = true
	}
	for _, name := range proxies {
		for _, spelled := range []string{name, strings.ToUpper(name)} {
			if v := r.env.Getenv(spelled); v != "" && !given[name] {
				args[spelled] = v
			}
		}
	}
}

// addPlan says which part of the Dockerfile is built, for what, and how much of what is there is used.
func (r *Request) addPlan() error {
	o := r.opts
	if o.Target != "" {
		r.set("target", o.Target)
	}
	if len(o.NoCacheFilter) > 0 {
		r.set("no-cache", strings.Join(o.NoCacheFilter, ","))
	}
	if o.NoCache {
		r.set("no-cache", "")
	}
	switch o.Pull {
	case "", "missing", "never":
		r.set("image-resolve-mode", pb.AttrImageResolveModePreferLocal)
	case "always", "newer": // what is here already is not sent again in either case
		r.set("image-resolve-mode", pb.AttrImageResolveModeForcePull)
	default:
		return invalid("--pull %q: want always, missing, never or newer", o.Pull)
	}
	var list []string
	for _, text := range o.Platforms {
		for _, one := range strings.Split(text, ",") {
			p, err := platforms.Parse(strings.TrimSpace(one))
			if err != nil {
				return invalid("--platform %q: OS/ARCH[/VARIANT] is expected, as in linux/arm64", one)
			}
			list = append(list, platforms.FormatAll(platforms.Normalize(p)))
		}
	}
	if len(list) > 0 {
		r.set("platform", strings.Join(list, ","))
	}
	for _, e := range o.Allow {
		if _, _, err := entitlements.Parse(e); err != nil {
			return invalid("--allow %q: want network.host, security.insecure or device", e)
		}
	}
	r.Solve.AllowedEntitlements = append(r.Solve.AllowedEntitlements, o.Allow...)
	r.Solve.Internal = o.Call != ""
	return nil
}

// Networks are those that the steps are attached to instead of the default one.
func Networks(s option.Steps) []string {
	switch s.Network {
	case "", "default", "bridge", "private", "host", "none":
		return nil
	}
	return strings.Split(s.Network, ",")
}

// addSteps says how commands are executed.
func (r *Request) addSteps() error {
	s := r.opts.Steps
	switch s.Network {
	case "host":
		r.set("force-network-mode", "host")
		r.Solve.AllowedEntitlements = append(r.Solve.AllowedEntitlements, entitlements.EntitlementNetworkHost.String())
	case "none":
		r.set("force-network-mode", "none")
	}
	hosts, err := extraHosts(s.Hosts)
	if err != nil {
		return err
	}
	if hosts != "" {
		r.set("add-hosts", hosts)
	}
	if s.ShmSize > 0 {
		r.set("shm-size", strconv.FormatInt(s.ShmSize, 10))
	}
	if len(s.Ulimits) > 0 {
		r.set("ulimit", strings.Join(s.Ulimits, ","))
	}
	if s.CgroupParent != "" {
		r.set("cgroup-parent", s.CgroupParent)
	}
	for name, value := range s.Resources {
		r.set(name, value)
	}
	return nil
}

// extraHosts puts NAME:ADDRESS, or NAME=ADDRESS, in the frontend's words.
func extraHosts(list []string) (string, error) {
	var out []string
	for _, h := range list {
		name, address, ok := strings.Cut(h, "=")
		if !ok {
			name, address, ok = strings.Cut(h, ":")
		}
		if !ok || name == "" || address == "" {
			return "", invalid("--add-host %q: NAME:ADDRESS is expected", h)
		}
		out = append(out, name+"="+strings.Trim(address, "[]"))
	}
	return strings.Join(out, ","), nil
}

// local lets the builder read a directory.
func (r *Request) local(name, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	fs, err := fsutil.NewFS(abs)
	if err != nil {
		return err
	}
	r.Solve.LocalMounts[name], r.Dirs[name] = fs, abs
	return nil
}

// temporary makes a directory that Close removes.
func (r *Request) temporary() (string, error) {
	dir, err := os.MkdirTemp("", "wherry-build-")
	if err == nil {
		r.undo = append(r.undo, func() { os.RemoveAll(dir) })
	}
	return dir, err
}

var errStdinTwice = errors.New("standard input cannot be both the context and the Dockerfile")
