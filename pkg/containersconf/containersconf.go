// Package containersconf reads what the user's containers.conf files set (containers.conf(5)). Reading them with the
// library that defines them costs a command more than it has: a companion does that, once for each change, and leaves
// what it found in a small file, which is all that the commands read. Without any file they look for files only.
package containersconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// Conf is what the files set. What they leave open is empty.
type Conf struct {
	Flags        []Flag              `json:",omitempty"` // of run and create
	Env          []string            `json:",omitempty"` // below the image's environment
	Capabilities []string            `json:",omitempty"` // in place of the default ones
	NameAsHost   bool                `json:",omitempty"` // a container's name is its host name
	InitPath     string              `json:",omitempty"`
	AppArmor     string              `json:",omitempty"`
	Seccomp      string              `json:",omitempty"` // path of a profile
	Runtime      string              `json:",omitempty"`
	Runtimes     map[string][]string `json:",omitempty"` // name to the paths where it may be
	HooksDirs    []string            `json:",omitempty"`
	CgroupMgr    string              `json:",omitempty"`
	EventsLogger string              `json:",omitempty"`
	Ignored      []string            `json:",omitempty"` // keys that are set and mean nothing to wherry
}

// Flag is a default for one flag, and the key that sets it.
type Flag struct{ Name, Value, Key string }

// Files lists the files there are, in the order in which they are read: a later one wins. modules are those of --module.
// What a distribution ships in /usr/share/containers are its defaults for Podman, among them fewer capabilities than
// Docker's: they are nobody's wish for wherry.
func Files(getenv func(string) string, modules []string) ([]string, error) {
	var files []string
	if path := getenv("CONTAINERS_CONF"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("CONTAINERS_CONF: %w", err)
		}
		files = append(files, path)
	} else {
		home := getenv("XDG_CONFIG_HOME")
		if home == "" && getenv("HOME") != "" {
			home = filepath.Join(getenv("HOME"), ".config")
		}
		for _, dir := range []string{"/etc", home} {
			if dir != "" {
				path := filepath.Join(dir, "containers/containers.conf")
				files = append(existing(files, path), dropIns(path+".d")...)
			}
		}
	}
	for _, name := range modules {
		path, err := module(name, getenv)
		if err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	if path := getenv("CONTAINERS_CONF_OVERRIDE"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("CONTAINERS_CONF_OVERRIDE: %w", err)
		}
		files = append(files, path)
	}
	return files, nil
}

func existing(files []string, path string) []string {
	if _, err := os.Stat(path); err != nil {
		return files
	}
	return append(files, path)
}

// dropIns are the files *.conf of a directory, in order.
func dropIns(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".conf") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// module finds a file of --module: a path, or a name below the directories containers.conf.modules.
func module(name string, getenv func(string) string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return name, err
	}
	home := getenv("XDG_CONFIG_HOME")
	if home == "" {
		home = filepath.Join(getenv("HOME"), ".config")
	}
	for _, dir := range []string{filepath.Join(home, "containers"), "/etc/containers", "/usr/share/containers"} {
		path := filepath.Join(dir, "containers.conf.modules", name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("--module %s: there is no such file in ~/.config/containers/containers.conf.modules, /etc/containers/containers.conf.modules or /usr/share/containers/containers.conf.modules", name)
}

// cached is the file that keeps a Conf: for these files, as they were.
type cached struct {
	Version int
	Files   []signature
	Conf    Conf
}

// version grows when the same files give another Conf.
const version = 2

type signature struct {
	Path        string
	Inode, Size uint64
	Mtime       int64 // nanoseconds
	Ctime       int64
}

func sign(path string) signature {
	var st syscall.Stat_t
	if syscall.Stat(path, &st) != nil {
		return signature{Path: path}
	}
	return signature{path, st.Ino, uint64(st.Size), st.Mtim.Nano(), st.Ctim.Nano()}
}

// Load returns what files set: from cache, a file of ours, or by decode, whose result is kept there. The cache only saves
// time: that it cannot be written is no error.
func Load(files []string, cache string, decode func(files []string) ([]byte, error)) (*Conf, error) {
	if len(files) == 0 {
		return &Conf{}, nil
	}
	now := make([]signature, len(files))
	for i, path := range files {
		now[i] = sign(path)
	}
	var kept cached
	data, err := os.ReadFile(cache)
	if err == nil && lazyjson.Unmarshal(data, &kept) == nil && kept.Version == version && slices.Equal(kept.Files, now) {
		return &kept.Conf, nil
	}
	if data, err = decode(files); err != nil {
		return nil, err
	}
	fresh := cached{Version: version, Files: now}
	if err := lazyjson.Unmarshal(data, &fresh.Conf); err != nil {
		return nil, fmt.Errorf("containers.conf: %w", err)
	}
	if data, err = lazyjson.Marshal(fresh); err == nil {
		keep(cache, data)
	}
	return &fresh.Conf, nil
}

func keep(cache string, data []byte) {
	err := atomicfile.Write(cache, data, 0o600, atomicfile.Volatile)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(filepath.Dir(cache), 0o700) == nil {
		atomicfile.Write(cache, data, 0o600, atomicfile.Volatile)
	}
}
