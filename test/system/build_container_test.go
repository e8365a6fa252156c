package system

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	buildkitd "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// buildkit serves BuildKit's API from the shared store, and returns a client of it.
func buildkit(t *testing.T) *buildkitd.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "buildkit.sock")
	cmd := shared.Command(context.Background(), "buildkit", "--addr", "unix://"+socket)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	testkit.Eventually(t, "the socket", func() bool { _, err := os.Stat(socket); return err == nil })
	c, err := buildkitd.New(context.Background(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// asFrontend is a build whose frontend is this test: with what a first step has made.
func asFrontend(t *testing.T, look func(ctx context.Context, gw gateway.Client, built gateway.Reference)) {
	t.Helper()
	c := buildkit(t)
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	_, err := c.Build(ctx, buildkitd.SolveOpt{}, "", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		def, err := llb.Image(testkit.Image).Run(llb.Shlex("sh -c 'echo built > /made'"), llb.Network(pb.NetMode_NONE)).Marshal(ctx)
		if err != nil {
			return nil, err
		}
		res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		look(ctx, gw, res.Ref)
		return gateway.NewResult(), nil
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

// command is one in a container of a frontend.
type command struct {
	gateway.ContainerProcess
	out bytes.Buffer
}

func start(ctx context.Context, t *testing.T, ctr gateway.Container, script string, change func(*gateway.StartRequest)) *command {
	t.Helper()
	c := &command{}
	req := gateway.StartRequest{Args: []string{"sh", "-c", script}, Cwd: "/", Stdout: nopCloser{&c.out}, Stderr: nopCloser{&c.out}}
	if change != nil {
		change(&req)
	}
	var err error
	if c.ContainerProcess, err = ctr.Start(ctx, req); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return c
}

// A frontend that is a client looks into what it has built, by several commands in one container, which changes nothing.
func TestContainerOfAFrontend(t *testing.T) {
	t.Parallel()
	asFrontend(t, func(ctx context.Context, gw gateway.Client, built gateway.Reference) {
		ctr, err := gw.NewContainer(ctx, gateway.NewContainerRequest{NetMode: pb.NetMode_NONE, Hostname: "inside",
			Mounts: []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: built}, {Dest: "/t", MountType: pb.MountType_TMPFS}}})
		if err != nil {
			t.Fatal(err)
		}
		first := start(ctx, t, ctr, "trap 'exit 3' TERM; touch /t/up; while :; do sleep 0.1; done", nil)
		second := start(ctx, t, ctr, "while [ ! -e /t/up ]; do sleep 0.1; done; cat /made; hostname; cat; echo $A; touch /made2; exit 4",
			func(r *gateway.StartRequest) {
				r.Stdin, r.Env = io.NopCloser(strings.NewReader("typed\n")), []string{"A=b"}
			})
		var exit *gwpb.ExitError
		if err := second.Wait(); !errors.As(err, &exit) || exit.ExitCode != 4 || second.out.String() != "built\ninside\ntyped\nb\n" {
			t.Errorf("second: %v %q", err, second.out.String())
		}
		if err := first.Signal(ctx, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := first.Wait(); !errors.As(err, &exit) || exit.ExitCode != 3 {
			t.Errorf("first: %v", err)
		}
		if err := ctr.Release(ctx); err != nil {
			t.Error(err)
		}
		if _, err := built.StatFile(ctx, gateway.StatRequest{Path: "/made2"}); err == nil {
			t.Error("what a container writes is in the result")
		}
	})
}

// CVE-2024-23653 replayed: a frontend's container has no more rights than the user has granted. One that is not released
// ends with the build.
func TestRightsOfAFrontend(t *testing.T) {
	t.Parallel()
	asFrontend(t, func(ctx context.Context, gw gateway.Client, built gateway.Reference) {
		make := func(mode pb.NetMode) gateway.Container {
			ctr, err := gw.NewContainer(ctx, gateway.NewContainerRequest{NetMode: mode, Mounts: []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: built}}})
			if err != nil {
				t.Fatal(err)
			}
			return ctr
		}
		for text, ctr := range map[string]gateway.Container{"security.insecure": make(pb.NetMode_NONE), "network.host": make(pb.NetMode_HOST)} {
			mode := map[string]pb.SecurityMode{"security.insecure": pb.SecurityMode_INSECURE}[text]
			err := start(ctx, t, ctr, "true", func(r *gateway.StartRequest) { r.SecurityMode = mode }).Wait()
			if err == nil || !strings.Contains(err.Error(), text+" is not allowed") {
				t.Errorf("%s: %v", text, err)
			}
		}
		start(ctx, t, make(pb.NetMode_NONE), "sleep 16180339", nil)
	})
	testkit.Eventually(t, "the last command to be gone", func() bool { return exec.Command("pgrep", "-f", "^sleep 16180339").Run() != nil })
}
