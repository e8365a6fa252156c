package libpod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"golang.org/x/sys/unix"
)

const (
	// secretsDir is, in the run directory, where a tmpfs with the container's secrets is mounted, in the container's own
	// mount namespace only: nobody else sees it, and it is gone with the container.
	secretsDir = "secrets"
	// secretsTarget is where they are in the container.
	secretsTarget = "/run/secrets"
)

// secrets puts the container's secrets into a tmpfs of its own and adds the mounts that show them; those that are
// variables it keeps for the runtime's configuration.
func (s *startup) secrets(ctx context.Context, in *spec.Input) error {
	if len(s.c.Secrets) == 0 {
		return nil
	}
	dir := filepath.Join(s.runDir, secretsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs for secrets: %w", err)
	}
	uids, gids, err := spec.IDMappings(*in)
	if err != nil {
		return err
	}
	shown := filepath.Join(dir, "run")
	inDir := false
	for i, secret := range s.c.Secrets {
		value, err := s.secretValue(ctx, secret)
		if err != nil {
			return err
		}
		if secret.Type == "env" {
			s.hidden = append(s.hidden, secret.Target+"="+string(value))
			continue
		}
		file := filepath.Join(dir, strconv.Itoa(i))
		if below, ok := strings.CutPrefix(secret.Target, secretsTarget+"/"); ok && secret.Type != "file" {
			inDir, file = true, filepath.Join(shown, below)
		} else {
			in.Mounts = append(in.Mounts, secretMount(file, secret.Target, "bind"))
		}
		if err := writeSecretFile(file, value, secret, outside(uids, secret.UID), outside(gids, secret.GID)); err != nil {
			return fmt.Errorf("secret %q: %w", secret.Name, err)
		}
	}
	if inDir {
		in.Mounts = append(in.Mounts, secretMount(shown, secretsTarget, "rbind"))
	}
	return nil
}

func secretMount(source, target, kind string) specs.Mount {
	return specs.Mount{Type: "bind", Source: source, Destination: target, Options: []string{kind, "rprivate", "ro", "nosuid", "nodev", "noexec"}}
}

// secretValue is the value that the secret of the name has now.
func (s *startup) secretValue(ctx context.Context, ref record.Secret) ([]byte, error) {
	now, err := s.e.namedSecret(ref.Name)
	if err != nil {
		return nil, err
	}
	return s.e.SecretValue(ctx, now)
}

func writeSecretFile(file string, value []byte, secret record.Secret, uid, gid int) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, value, 0o600); err != nil {
		return err
	}
	if err := os.Chown(file, uid, gid); err != nil {
		return err
	}
	return os.Chmod(file, secret.Mode)
}

// checkSecrets looks at create whether the secrets are there, and notes which ones they are.
func (e *Engine) checkSecrets(cfg *record.Config) error {
	for i := range cfg.Secrets {
		id, name, err := e.findSecret(cfg.Secrets[i].Name)
		if err != nil {
			return err
		}
		cfg.Secrets[i].ID, cfg.Secrets[i].Name = id, name
	}
	return nil
}

// hiddenBundle writes, beside the runtime's configuration that others read too, one with the variables that are secret.
// It lies on the container's tmpfs.
func (s *startup) hiddenBundle(sp *specs.Spec) error {
	if !s.hides() {
		return nil
	}
	with, process := *sp, *sp.Process
	process.Env = spec.MergeEnv(sp.Process.Env, s.hidden)
	with.Process = &process
	data, err := lazyjson.Marshal(&with)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.bundle(), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.bundle(), "config.json"), data, 0o600)
}

// hides tells whether a secret is a variable of the first process.
func (s *startup) hides() bool {
	return slices.ContainsFunc(s.c.Secrets, func(secret record.Secret) bool { return secret.Type == "env" })
}

// bundle is the directory that the runtime starts the container from.
func (s *startup) bundle() string {
	if s.hides() {
		return filepath.Join(s.runDir, secretsDir, record.Bundle)
	}
	return filepath.Join(s.runDir, record.Bundle)
}
