package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// additionalStores are the read-only stores that storage.conf names, in the order of package store. All else in that
// file is about Podman's store, not ours.
func additionalStores(cfg Config) ([]string, error) {
	for _, path := range storageConfs(cfg.Getenv) {
		var conf struct {
			Storage struct {
				Options struct {
					AdditionalImageStores []string `toml:"additionalimagestores"`
				} `toml:"options"`
			} `toml:"storage"`
		}
		_, err := toml.DecodeFile(path, &conf)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, joinLines(err))
		}
		return usable(conf.Storage.Options.AdditionalImageStores, cfg.Dirs.Graph()), nil
	}
	return nil, nil
}

// usable leaves out what is not there: a missing store holds no image, and the library would refuse to start.
func usable(roots []string, own string) []string {
	var out []string
	for _, root := range roots {
		root = filepath.Clean(os.ExpandEnv(root))
		if _, err := os.Stat(root); err == nil && filepath.IsAbs(root) && root != own {
			out = append(out, root)
		}
	}
	return out
}

func storageConfs(getenv func(string) string) []string {
	if path := getenv("CONTAINERS_STORAGE_CONF"); path != "" {
		return []string{path}
	}
	config := getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(getenv("HOME"), ".config")
	}
	return []string{filepath.Join(config, "containers/storage.conf"), "/etc/containers/storage.conf", "/usr/share/containers/storage.conf"}
}
