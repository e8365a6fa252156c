package container

import (
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
)

func (w *wish) mountFlags() []cli.Flag {
	add := func(parse func(string) (record.Mount, error)) func(string) error {
		return func(s string) error {
			m, err := parse(s)
			w.Config.Mounts = append(w.Config.Mounts, m)
			return err
		}
	}
	return []cli.Flag{
		cmdkit.Func("image-volume", "What the image's volumes become: `anonymous|bind|tmpfs|ignore`", func(s string) error {
			if s == "bind" { // Podman's name for what is an anonymous volume
				s = string(record.ImageVolumeAnonymous)
			}
			w.ImageVolume = record.ImageVolume(s)
			return values.OneOf(s, "anonymous", "bind", "tmpfs", "ignore")
		}),
		cmdkit.Func("mount", "Mount `type=TYPE,source=SRC,target=DIR...`; types bind, volume, tmpfs, image, glob, devpts, ramfs", func(s string) error {
			mounts, err := values.Mount(s)
			w.Config.Mounts = append(w.Config.Mounts, mounts...)
			return err
		}),
		cmdkit.Func("tmpfs", "Mount an empty tmpfs at `DIR[:OPTIONS]`", add(values.Tmpfs)),
		cmdkit.Func("volume v", "Mount `[SOURCE:]DIR[:OPTIONS]`: a host path or a volume's name", add(values.Volume)),
		checked(&w.volumeDriver, "volume-driver", "`DRIVER` of volumes that are made, only local is there", func(s string) error { return values.OneOf(s, "local") }),
		cmdkit.Func("volumes-from", "Mount what `CONTAINER[:ro|rw|z]` mounts of the host and of volumes", func(s string) error {
			w.VolumesFrom = append(w.VolumesFrom, s)
			return values.VolumesFrom(s)
		}),
		cmdkit.Bool(&w.Config.Rootfs.ReadOnly, "read-only", "Make the root file system read-only"),
		cmdkit.Bool(&w.readOnlyTmpfs, "read-only-tmpfs", "With --read-only, have a tmpfs at /run, /tmp and /var/tmp"),
		cmdkit.Func("secret", "Give it the secret `NAME[,type=mount|env,target=TARGET,uid=UID,gid=GID,mode=MODE]`", func(s string) error {
			secret, err := values.Secret(s)
			w.Config.Secrets = append(w.Config.Secrets, secret)
			return err
		}),
		cmdkit.Func("shm-size", "`SIZE` of /dev/shm, 64m if not given", func(s string) (err error) {
			w.Config.Rootfs.ShmSize, err = values.Bytes(s)
			return err
		}),
	}
}

// finishMounts settles what mount flags say about each other.
func (w *wish) finishMounts() error {
	cfg := &w.Config
	if err := uniqueTargets(cfg.Mounts); err != nil {
		return err
	}
	for i := range cfg.Mounts {
		if m := &cfg.Mounts[i]; m.Type == "volume" && m.Driver == "" {
			m.Driver = w.volumeDriver
		}
	}
	cfg.Rootfs.Tmpfs = cfg.Rootfs.ReadOnly && w.readOnlyTmpfs
	return uniqueSecrets(cfg)
}

func uniqueSecrets(cfg *record.Config) error {
	seen := map[string]bool{}
	for _, s := range cfg.Secrets {
		key := s.Type + " " + s.Target
		if seen[key] {
			return cmdkit.Usagef("two secrets have the same target %q", s.Target)
		}
		seen[key] = true
	}
	for _, m := range cfg.Mounts {
		if seen["mount "+m.Target] || m.Target == "/run/secrets" && len(cfg.Secrets) > 0 {
			return cmdkit.Usagef("a mount at %q hides a secret there (give the secret another target)", m.Target)
		}
	}
	return nil
}

func uniqueTargets(mounts []record.Mount) error {
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.Target] {
			return cmdkit.Usagef("two mounts have the same target %q", m.Target)
		}
		seen[m.Target] = true
	}
	return nil
}
