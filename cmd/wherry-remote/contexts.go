package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/cli/cli/command"
	dcontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/remote"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/endpoint"
	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// contexts are the named services. They lie where Docker keeps them, so that both have the same; which one is in use is
// wherry's own business.
type contexts struct {
	*store.ContextStore
	env *cmdkit.Env
}

func open(env *cmdkit.Env) *contexts {
	dir := env.Getenv("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(env.Getenv("HOME"), ".docker")
	}
	return &contexts{store.New(filepath.Join(dir, "contexts"), command.DefaultContextStoreConfig()), env}
}

// identityField is where a context's key for ssh is noted.
const identityField = "Identity"

// service is what a context says.
type service struct {
	name, description, identity string
	endpoint                    docker.EndpointMeta
	meta                        store.Metadata
}

func (c *contexts) load(name string) (*service, error) {
	if name == wish.Here {
		return c.here(), nil
	}
	meta, err := c.GetMetadata(name)
	if cerrdefs.IsNotFound(err) {
		return nil, errdefs.New(errdefs.ErrNotFound, "no context %q (see: %s context ls)", name, c.env.Program)
	} else if err != nil {
		return nil, err
	}
	return read(meta)
}

func read(meta store.Metadata) (*service, error) {
	s := &service{name: meta.Name, meta: meta}
	if d, err := command.GetDockerContext(meta); err == nil {
		s.description = d.Description
		s.identity, _ = d.AdditionalFields[identityField].(string)
	}
	var err error
	if s.endpoint, err = docker.EndpointFromContext(meta); err != nil {
		return s, fmt.Errorf("context %q: %w", meta.Name, err)
	}
	return s, nil
}

// here is the context that is always there.
func (c *contexts) here() *service {
	return &service{name: wish.Here, description: "This machine, without a service", endpoint: docker.EndpointMeta{Host: c.env.Own()}}
}

// all are the contexts by name, this machine first. One that cannot be read has its error beside it.
func (c *contexts) all() ([]*service, map[string]error, error) {
	metas, err := c.ContextStore.List()
	if err != nil {
		return nil, nil, err
	}
	broken := map[string]error{}
	list := []*service{c.here()}
	for _, meta := range metas {
		s, err := read(meta)
		if err != nil {
			broken[s.name] = err
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list[1:], func(a, b *service) int { return cmp.Compare(a.name, b.name) })
	return list, broken, nil
}

// endpoint is where a context leads.
func (c *contexts) endpoint(name string, w wish.Wish) (*endpoint.Endpoint, error) {
	s, err := c.load(name)
	if err != nil {
		return nil, err
	}
	identity := cmp.Or(w.Identity, s.identity)
	data, err := dcontext.LoadTLSData(c, name, docker.DockerEndpoint)
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	if data == nil && !s.endpoint.SkipTLSVerify {
		return endpoint.New(s.endpoint.Host, identity, nil)
	}
	if data == nil {
		data = &dcontext.TLSData{}
	}
	config, err := endpoint.TLS(!s.endpoint.SkipTLSVerify, data.CA, data.Cert, data.Key)
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	return endpoint.New(s.endpoint.Host, identity, config)
}

// verbs are the commands.
type verbs struct{}

func (verbs) Create(_ context.Context, env *cmdkit.Env, name string, opts remote.CreateOptions) error {
	c := open(env)
	if name == wish.Here {
		return errdefs.New(errdefs.ErrInvalid, "context %q is this machine and stays as it is", name)
	}
	if err := store.ValidateContextName(name); err != nil {
		return errdefs.New(errdefs.ErrInvalid, "%v", err)
	}
	old, err := c.load(name)
	switch {
	case err == nil && !opts.Update:
		return errdefs.New(errdefs.ErrNameInUse, "context %q already exists (change it with: %s context update %s)", name, env.Program, name)
	case err != nil && (opts.Update || !errors.Is(err, errdefs.ErrNotFound)):
		return err
	case opts.Update:
	case opts.From != "":
		if old, err = c.load(opts.From); err != nil {
			return err
		}
	default:
		old = &service{}
	}
	if !opts.Given && opts.From == "" && !opts.Update {
		return errdefs.New(errdefs.ErrInvalid, "where is the service? (--docker host=ADDRESS)")
	}
	if err := c.write(name, old, opts); err != nil {
		return err
	}
	if opts.Default {
		return c.use(name)
	}
	if opts.Connection {
		return nil
	}
	done := "created"
	if opts.Update {
		done = "updated"
	}
	fmt.Fprintln(env.Out, name)
	fmt.Fprintf(env.Err, "Successfully %s context %q\n", done, name)
	return nil
}

// write keeps a context: its certificates first, the record that makes it one last.
func (c *contexts) write(name string, s *service, opts remote.CreateOptions) error {
	if opts.Description != nil {
		s.description = *opts.Description
	}
	if opts.Identity != "" {
		s.identity = opts.Identity
	}
	if opts.Given {
		s.endpoint = docker.EndpointMeta{Host: cmp.Or(opts.Address, s.endpoint.Host), SkipTLSVerify: opts.SkipVerify}
	}
	if _, err := endpoint.New(s.endpoint.Host, s.identity, nil); err != nil {
		return err
	}
	tls, err := dcontext.TLSDataFromFiles(opts.TLS.CA, opts.TLS.Cert, opts.TLS.Key)
	if err != nil {
		return errdefs.New(errdefs.ErrInvalid, "%v", err)
	}
	if opts.Given {
		if err := c.ResetEndpointTLSMaterial(name, docker.DockerEndpoint, tls.ToStoreTLSData()); err != nil {
			return err
		}
	}
	d := command.DockerContext{Description: s.description}
	if s.identity != "" {
		d.AdditionalFields = map[string]any{identityField: s.identity}
	}
	return c.CreateOrUpdate(store.Metadata{Name: name, Metadata: d, Endpoints: map[string]any{docker.DockerEndpoint: s.endpoint}})
}

func (verbs) Use(_ context.Context, env *cmdkit.Env, name string) error {
	c := open(env)
	if _, err := c.load(name); err != nil {
		return err
	}
	if w := cmp.Or(env.Getenv("CONTAINER_HOST"), env.Getenv("DOCKER_HOST")); w != "" && name != wish.Here {
		env.Warn("DOCKER_HOST or CONTAINER_HOST is set and goes before any context: unset it")
	}
	return c.use(name)
}

// use notes the context in use; none for this machine.
func (c *contexts) use(name string) error {
	path := wish.ChoiceFile(c.env.Getenv)
	if path == "" {
		return errdefs.New(errdefs.ErrInvalid, "there is no place for the choice: HOME is not set")
	}
	if name == wish.Here {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, []byte(name+"\n"), 0o600, atomicfile.Durable)
}

func (verbs) Remove(_ context.Context, env *cmdkit.Env, names []string, opts remote.RemoveOptions) error {
	c := open(env)
	if opts.All {
		list, _, err := c.all()
		if err != nil {
			return err
		}
		for _, s := range list[1:] {
			names = append(names, s.name)
		}
	}
	return cmdkit.Each(env, names, func(name string) (string, error) {
		switch _, err := c.load(name); {
		case name == wish.Here:
			return "", errdefs.New(errdefs.ErrInvalid, "context %q is this machine and stays", name)
		case errors.Is(err, errdefs.ErrNotFound) && opts.Force:
			return name, nil
		case errors.Is(err, errdefs.ErrNotFound):
			return "", err
		case wish.Chosen(env.Getenv) != name:
		case !opts.Force:
			return "", errdefs.New(errdefs.ErrInUse, "context %q is in use (%s context use default, or --force)", name, env.Program)
		default:
			if err := c.use(wish.Here); err != nil {
				return "", err
			}
		}
		return name, c.ContextStore.Remove(name)
	})
}

func (verbs) Rename(_ context.Context, env *cmdkit.Env, from, to string) error {
	c := open(env)
	if err := store.ValidateContextName(to); err != nil || to == wish.Here {
		return errdefs.New(errdefs.ErrInvalid, "invalid name %q of a connection", to)
	}
	if _, err := c.load(to); err == nil {
		return errdefs.New(errdefs.ErrNameInUse, "connection %q already exists", to)
	}
	s, err := c.load(from)
	if err != nil {
		return err
	}
	// A copy by the library's own way takes the certificates along.
	r := store.Export(from, c)
	defer r.Close()
	if err := store.Import(to, c, r); err != nil {
		return err
	}
	s.meta.Name = to
	if err := c.CreateOrUpdate(s.meta); err != nil {
		return err
	}
	if wish.Chosen(env.Getenv) == from {
		if err := c.use(to); err != nil {
			return err
		}
	}
	return c.ContextStore.Remove(from)
}

func (verbs) Transfer(_ context.Context, env *cmdkit.Env, t remote.Transfer) error {
	c := open(env)
	if t.Import {
		return c.read(t)
	}
	if _, err := c.load(t.Name); err != nil || t.Name == wish.Here {
		return errors.Join(err, cannotMove(t.Name))
	}
	r := store.Export(t.Name, c)
	defer r.Close()
	if t.File == "-" {
		if cmdkit.IsTerminal(env.OutFile) {
			return cmdkit.Usagef("a terminal cannot show an archive: name a file")
		}
		_, err := io.Copy(env.Out, r)
		return err
	}
	file := cmp.Or(t.File, t.Name+".dockercontext")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // keys may be in it
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(env.Err, "Written file %q\n", file)
	return nil
}

func cannotMove(name string) error {
	if name != wish.Here {
		return nil
	}
	return errdefs.New(errdefs.ErrInvalid, "context %q is this machine: it means another one elsewhere", name)
}

func (c *contexts) read(t remote.Transfer) error {
	if err := store.ValidateContextName(t.Name); err != nil || t.Name == wish.Here {
		return errdefs.New(errdefs.ErrInvalid, "invalid name %q of a context", t.Name)
	}
	if _, err := c.load(t.Name); err == nil {
		return errdefs.New(errdefs.ErrNameInUse, "context %q already exists", t.Name)
	}
	in := c.env.In
	if t.File != "-" {
		f, err := os.Open(t.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := store.Import(t.Name, c, in); err != nil {
		return errdefs.New(errdefs.ErrInvalid, "%s: %v", t.File, err)
	}
	if _, err := c.load(t.Name); err != nil {
		return errors.Join(err, c.ContextStore.Remove(t.Name))
	}
	fmt.Fprintln(c.env.Out, t.Name)
	fmt.Fprintf(c.env.Err, "Successfully imported context %q\n", t.Name)
	return nil
}
