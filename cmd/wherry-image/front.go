package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/containers/common/pkg/hooks"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/containersconf/decode"
)

// forFront does what the front asks for itself, with libraries that it does without.
func forFront(ctx context.Context, env *cmdkit.Env) (done bool, err error) {
	if len(env.Args) < 2 {
		return false, nil
	}
	switch env.Args[1] {
	case cmdkit.DecodeConf:
		conf, err := decode.Files(env.Args[2:])
		if err != nil {
			return true, err
		}
		return true, json.NewEncoder(env.Out).Encode(conf)
	case cmdkit.AddHooks:
		if len(env.Args) < 3 {
			return true, fmt.Errorf("%s needs to know whether there are bind mounts", cmdkit.AddHooks)
		}
		return true, addHooks(ctx, env, env.Args[2] == "true", env.Args[3:])
	}
	return false, nil
}

// addHooks adds to the configuration on standard input the hooks that the descriptions in dirs ask for. Those of the
// stage precreate are run here: they change the configuration.
func addHooks(ctx context.Context, env *cmdkit.Env, binds bool, dirs []string) error {
	data, err := io.ReadAll(env.In)
	if err != nil {
		return err
	}
	config := &specs.Spec{}
	if err := json.Unmarshal(data, config); err != nil {
		return err
	}
	const precreate = "precreate"
	manager, err := hooks.New(ctx, dirs, []string{precreate})
	if err != nil {
		return fmt.Errorf("OCI hooks: %w", err)
	}
	stages, err := manager.Hooks(config, config.Annotations, binds)
	if err != nil {
		return fmt.Errorf("OCI hooks: %w", err)
	}
	if data, err = json.Marshal(config); err != nil {
		return err
	}
	for _, hook := range stages[precreate] {
		if data, err = filter(ctx, hook, data); err != nil {
			return fmt.Errorf("OCI hook %s, stage precreate: %w", hook.Path, err)
		}
	}
	_, err = env.Out.Write(data)
	return err
}

// filter lets a hook replace the configuration.
func filter(ctx context.Context, hook specs.Hook, config []byte) ([]byte, error) {
	limit := 10 * time.Second
	if hook.Timeout != nil {
		limit = time.Duration(*hook.Timeout) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, hook.Path)
	if len(hook.Args) > 0 {
		cmd.Args = hook.Args
	}
	cmd.Env, cmd.Stdin = append([]string{}, hook.Env...), bytes.NewReader(config)
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	if !json.Valid(out) {
		return nil, errors.New("what it printed is not JSON")
	}
	return out, nil
}
