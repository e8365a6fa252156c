package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/sys/signal"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NewContainer makes a container for the client of a build.
func (s *Service) NewContainer(ctx context.Context, in *gwpb.NewContainerRequest) (*gwpb.NewContainerResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	req := client.NewContainerRequest{Hostname: in.Hostname, NetMode: in.Network, ExtraHosts: in.ExtraHosts, Platform: in.Platform, Constraints: in.Constraints}
	for _, m := range in.Mounts {
		mount := client.Mount{Selector: m.Selector, Dest: m.Dest, Readonly: m.Readonly, MountType: m.MountType, CacheOpt: m.CacheOpt,
			SecretOpt: m.SecretOpt, SSHOpt: m.SSHOpt}
		if m.ResultID != "" {
			ref, err := v.ref(m.ResultID)
			if err != nil {
				return nil, err
			}
			mount.Ref = ref
		}
		req.Mounts = append(req.Mounts, mount)
	}
	c, err := v.Bridge.NewContainer(ctx, req)
	if err != nil {
		return nil, err
	}
	if !v.keepContainer(in.ContainerID, c) {
		c.Release(context.WithoutCancel(ctx))
		return nil, status.Errorf(codes.AlreadyExists, "container %q is there already", in.ContainerID)
	}
	return &gwpb.NewContainerResponse{}, nil
}

// keepContainer is false where there is one of that name, or the build is over.
func (v *served) keepContainer(id string, c client.Container) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.containers[id] != nil || v.over {
		return false
	}
	if v.containers == nil {
		v.containers = map[string]client.Container{}
	}
	v.containers[id] = c
	return true
}

func (v *served) container(id string) (client.Container, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.containers[id]; c != nil {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "no container %q", id)
}

// releaseContainers ends what the client has not released.
func (v *served) releaseContainers() {
	v.mu.Lock()
	v.over = true
	all := slices.Collect(maps.Values(v.containers))
	v.mu.Unlock()
	for _, c := range all {
		c.Release(context.Background()) // it must be gone, whoever waits
	}
}

// ReleaseContainer ends a container.
func (s *Service) ReleaseContainer(ctx context.Context, in *gwpb.ReleaseContainerRequest) (*gwpb.ReleaseContainerResponse, error) {
	v, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	c, err := v.container(in.ContainerID)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	delete(v.containers, in.ContainerID)
	v.mu.Unlock()
	return &gwpb.ReleaseContainerResponse{}, c.Release(ctx)
}

// ExecProcess runs commands in containers; their messages share one stream.
func (s *Service) ExecProcess(stream gwpb.LLBBridge_ExecProcessServer) error {
	v, err := s.build(stream.Context())
	if err != nil {
		return err
	}
	x := &execStream{v: v, stream: stream, processes: map[string]*remoteProcess{}}
	defer x.close()
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			x.work.Wait()
			return nil
		} else if err != nil {
			return err
		}
		if err := x.handle(msg); err != nil {
			return err
		}
	}
}

// execStream is the server's end of the stream.
type execStream struct {
	v         *served
	stream    gwpb.LLBBridge_ExecProcessServer
	sending   sync.Mutex
	processes map[string]*remoteProcess
	work      sync.WaitGroup
}

// remoteProcess is a command whose streams are the client's.
type remoteProcess struct {
	client.ContainerProcess
	x     *execStream
	id    string
	stdin *io.PipeWriter // nil: it has none
	begun chan struct{}  // closed when the client has heard of the start: no output comes before
}

func (x *execStream) handle(msg *gwpb.ExecMessage) error {
	if init := msg.GetInit(); init != nil {
		return x.start(msg.ProcessID, init)
	}
	p := x.processes[msg.ProcessID]
	if p == nil {
		return status.Errorf(codes.NotFound, "no process %q", msg.ProcessID)
	}
	switch in := msg.GetInput().(type) {
	case *gwpb.ExecMessage_File:
		return p.input(in.File)
	case *gwpb.ExecMessage_Signal:
		sig, ok := signal.SignalMap[in.Signal.Name]
		if !ok {
			return status.Errorf(codes.InvalidArgument, "no signal %q", in.Signal.Name)
		}
		return p.Signal(x.stream.Context(), sig)
	}
	return nil // a size, without a terminal
}

func (p *remoteProcess) input(f *gwpb.FdMessage) error {
	if p.stdin == nil || f.Fd != 0 {
		return status.Errorf(codes.InvalidArgument, "process %q does not read descriptor %d", p.id, f.Fd)
	}
	p.stdin.Write(f.Data) // a command that reads no more is none of the client's fault
	if f.EOF {
		p.stdin.Close()
	}
	return nil
}

func (x *execStream) start(id string, init *gwpb.InitMessage) error {
	if init.Meta == nil || id == "" || x.processes[id] != nil {
		return status.Errorf(codes.InvalidArgument, "process %q cannot be started", id)
	}
	c, err := x.v.container(init.ContainerID)
	if err != nil {
		return err
	}
	p := &remoteProcess{x: x, id: id, begun: make(chan struct{})}
	req := client.StartRequest{Args: init.Meta.Args, Env: init.Meta.Env, SecretEnv: init.Secretenv, User: init.Meta.User, Cwd: init.Meta.Cwd, Tty: init.Tty,
		SecurityMode: init.Security, RemoveMountStubsRecursive: init.Meta.RemoveMountStubsRecursive}
	outputs := p.streams(init.Fds, &req)
	if p.ContainerProcess, err = c.Start(x.stream.Context(), req); err != nil {
		return err
	}
	x.processes[id] = p
	if err := x.send(id, &gwpb.ExecMessage{Input: &gwpb.ExecMessage_Started{Started: &gwpb.StartedMessage{}}}); err != nil {
		return err
	}
	close(p.begun)
	x.work.Go(func() { p.finish(outputs) })
	return nil
}

// streams gives the command those that the client has, and returns the outputs among them.
func (p *remoteProcess) streams(fds []uint32, req *client.StartRequest) (outputs []uint32) {
	for _, fd := range fds {
		switch fd {
		case 0:
			req.Stdin, p.stdin = io.Pipe()
		case 1:
			req.Stdout = output{p, fd}
			outputs = append(outputs, fd)
		case 2:
			req.Stderr = output{p, fd}
			outputs = append(outputs, fd)
		}
	}
	return outputs
}

// finish tells the client of the end.
func (p *remoteProcess) finish(outputs []uint32) {
	err := p.Wait()
	if p.stdin != nil {
		p.stdin.Close()
	}
	for _, fd := range outputs {
		p.x.send(p.id, &gwpb.ExecMessage{Input: &gwpb.ExecMessage_File{File: &gwpb.FdMessage{Fd: fd, EOF: true}}})
	}
	p.x.send(p.id, &gwpb.ExecMessage{Input: &gwpb.ExecMessage_Exit{Exit: exitMessage(p.x.stream.Context(), err)}})
	p.x.send(p.id, &gwpb.ExecMessage{Input: &gwpb.ExecMessage_Done{Done: &gwpb.DoneMessage{}}})
}

func exitMessage(ctx context.Context, err error) *gwpb.ExitMessage {
	if err == nil {
		return &gwpb.ExitMessage{}
	}
	st, _ := status.FromError(grpcerrors.ToGRPC(ctx, err))
	text := st.Proto()
	exit := &gwpb.ExitMessage{Code: gwpb.UnknownExitStatus, Error: &spb.Status{Code: text.Code, Message: text.Message, Details: text.Details}}
	var own *gwpb.ExitError
	if errors.As(err, &own) {
		exit.Code = own.ExitCode
	}
	return exit
}

func (x *execStream) send(id string, msg *gwpb.ExecMessage) error {
	msg.ProcessID = id
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.stream.Send(msg)
}

// close ends the input of what still runs; its container ends it when that is released.
func (x *execStream) close() {
	for _, p := range x.processes {
		if p.stdin != nil {
			p.stdin.Close()
		}
	}
}

// output is a stream of a command on its way to the client.
type output struct {
	p  *remoteProcess
	fd uint32
}

func (o output) Write(data []byte) (int, error) {
	select {
	case <-o.p.begun:
	case <-o.p.x.stream.Context().Done():
		return 0, o.p.x.stream.Context().Err()
	}
	err := o.p.x.send(o.p.id, &gwpb.ExecMessage{Input: &gwpb.ExecMessage_File{File: &gwpb.FdMessage{Fd: o.fd, Data: data}}})
	return len(data), err
}

func (o output) Close() error { return nil }
