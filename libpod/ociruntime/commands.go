package ociruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// Kill sends a signal to the first process, or to all processes of the container.
func (r *Runtime) Kill(ctx context.Context, id, signal string, all bool) error {
	args := []string{"kill"}
	if all {
		args = append(args, "--all")
	}
	_, err := r.output(ctx, append(args, id, signal)...)
	return err
}

// State asks the runtime.
func (r *Runtime) State(ctx context.Context, id string) (*specs.State, error) {
	out, err := r.output(ctx, "state", id)
	if err != nil {
		return nil, err
	}
	// crun and runc disagree with the specification on the type of fields we do not use.
	var s struct {
		Version string `json:"ociVersion"`
		ID      string `json:"id"`
		Status  string `json:"status"`
		Pid     int    `json:"pid"`
		Bundle  string `json:"bundle"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return nil, fmt.Errorf("%s state %s: %w", r.Path, id, err)
	}
	return &specs.State{Version: s.Version, ID: s.ID, Status: specs.ContainerState(s.Status), Pid: s.Pid, Bundle: s.Bundle}, nil
}

func (r *Runtime) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.Path, append(r.global(""), args...)[1:]...)
	cmd.Env = r.Env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if stderr.Len() > 0 {
			return nil, r.Failure(stderr.String())
		}
		return nil, fmt.Errorf("%s %s: %w", r.Path, args[0], err)
	}
	return stdout.Bytes(), nil
}

// Update changes the limits of a running container: those that are set in res.
func (r *Runtime) Update(ctx context.Context, id string, res *specs.LinuxResources) error {
	data, err := lazyjson.Marshal(res)
	if err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	f, err := memoryFile("resources", data)
	if err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	defer f.Close()
	_, err = r.output(ctx, "update", "--resources", f.Name(), id)
	return err
}
