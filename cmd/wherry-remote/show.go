package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/remote"
	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
)

// contextRow is a row of `context ls`, with Docker's fields.
type contextRow struct {
	Current        bool
	Name           string
	Description    string
	DockerEndpoint string
	Error          string

	Shown string `json:"-"` // the name, with a star at the one in use
}

// Headings are Docker's.
func (contextRow) Headings() map[string]string {
	return map[string]string{"DockerEndpoint": "DOCKER ENDPOINT", "Shown": "NAME"}
}

// connectionRow is a row of `system connection ls`, with Podman's fields.
type connectionRow struct {
	Name      string
	URI       string
	Identity  string
	Default   bool
	ReadWrite bool
}

func (verbs) List(_ context.Context, env *cmdkit.Env, opts remote.ListOptions) error {
	list, broken, err := open(env).all()
	if err != nil {
		return err
	}
	current := wish.Here
	w, err := wish.Choose(env.Wish, env.Own, env.Getenv)
	if err == nil {
		current = cmp.Or(w.Context, wish.Here)
	}
	if opts.Quiet && opts.Format == "" {
		opts.Format = "{{.Name}}"
	}
	if opts.Connections {
		rows := []connectionRow{}
		for _, s := range list[1:] {
			rows = append(rows, connectionRow{Name: s.name, URI: s.endpoint.Host, Identity: s.identity, Default: s.name == current, ReadWrite: true})
		}
		return env.Print(rows, opts.Format, "{{.Name}}\t{{.URI}}\t{{.Identity}}\t{{.Default}}\t{{.ReadWrite}}")
	}
	rows := make([]contextRow, len(list))
	for i, s := range list {
		rows[i] = contextRow{Current: s.name == current, Name: s.name, Description: s.description, DockerEndpoint: s.endpoint.Host, Shown: s.name}
		if s.name == current {
			rows[i].Shown += " *"
		}
		if err := broken[s.name]; err != nil {
			rows[i].Error = err.Error()
		}
		if s.name == wish.Here && w.Address != "" {
			rows[i].DockerEndpoint = w.Address
		}
	}
	return env.Print(rows, opts.Format, "{{.Shown}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}")
}

// contextDoc is what `context inspect` shows, with Docker's fields.
type contextDoc struct {
	Name        string
	Metadata    any
	Endpoints   map[string]any
	TLSMaterial map[string]store.EndpointFiles
	Storage     store.StorageInfo
}

func (verbs) Inspect(_ context.Context, env *cmdkit.Env, names []string, format string) error {
	c := open(env)
	if len(names) == 0 {
		w, err := wish.Choose(env.Wish, env.Own, env.Getenv)
		if err != nil {
			return err
		}
		names = []string{cmp.Or(w.Context, wish.Here)}
	}
	return cmdkit.Inspect(env, names, format, func(name string) (*contextDoc, error) {
		s, err := c.load(name)
		if err != nil {
			return nil, err
		}
		doc := &contextDoc{Name: name, Metadata: s.meta.Metadata, Endpoints: s.meta.Endpoints, TLSMaterial: map[string]store.EndpointFiles{},
			Storage: store.StorageInfo{MetadataPath: "<IN MEMORY>", TLSPath: "<IN MEMORY>"}}
		if name == wish.Here {
			doc.Metadata, doc.Endpoints = struct{}{}, map[string]any{docker.DockerEndpoint: s.endpoint}
			return doc, nil
		}
		doc.Storage = c.GetStorageInfo(name)
		files, err := c.ListTLSFiles(name)
		if err == nil && files != nil {
			doc.TLSMaterial = files
		}
		return doc, err
	})
}

// DialStdio connects standard input and output to the chosen service, or to this user's own. That one is started where it
// does not run; it ends by itself when nobody asks any more.
func (verbs) DialStdio(ctx context.Context, env *cmdkit.Env) error {
	e, err := chosen(env)
	if err != nil {
		return err
	}
	conn, err := e.Dial(ctx)
	if err != nil && e.Address == env.Own() && (errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)) {
		conn, err = startOwn(ctx, env, func() (net.Conn, error) { return e.Dial(ctx) })
	}
	if err != nil {
		return fmt.Errorf("reach the service at %s: %w", e.Address, err)
	}
	defer conn.Close()
	return pipe(conn, env.In, env.OutFile)
}

// startTime bounds how long the own service may take to listen.
const startTime = 10 * time.Second

// startOwn starts this user's service and connects to it.
func startOwn(ctx context.Context, env *cmdkit.Env, dial func() (net.Conn, error)) (net.Conn, error) {
	program := filepath.Join(env.Dirs.Libexec, "wherry-compose")
	cmd := exec.Command(program, "system", "service")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it serves others after us
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("start the service: %w", ctx.Err())
		case <-ended: // another one was quicker, or it cannot: the next dial tells
			return dial()
		case <-tick.C:
			if conn, err := dial(); err == nil {
				return conn, nil
			}
		}
	}
}

// pipe copies both ways until both have ended; the end of one is passed on.
func pipe(conn net.Conn, in io.Reader, out *os.File) error {
	failed := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, in)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		failed <- err
	}()
	_, err := io.Copy(out, conn)
	out.Close()
	select {
	case inErr := <-failed:
		return errors.Join(err, inErr)
	default: // the service has ended: what is still typed goes nowhere
		return err
	}
}
