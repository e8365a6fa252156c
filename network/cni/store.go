package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

const extension = ".conflist"

// Note is what wherry keeps in a configuration list beside what CNI knows, under the key "wherry".
type Note struct {
	ID      string            `json:"id"`
	Created time.Time         `json:"created"`
	Driver  string            `json:"driver"`
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"`
	IPv6    bool              `json:"ipv6,omitempty"`
	// Interface is the name that containers' interfaces get; empty: eth0 and so on.
	Interface string `json:"interface,omitempty"`
}

// Network is one configuration list.
type Network struct {
	Name string
	Note Note
	Own  *bridge.Conf // configuration of our plugin; nil: a foreign network
	Path string
	list *libcni.NetworkConfigList
}

// Plugins are the types in the list's order.
func (n *Network) Plugins() []string {
	var types []string
	for _, p := range n.list.Plugins {
		types = append(types, p.Network.Type)
	}
	return types
}

// Foreign tells whether a plugin other than ours takes part: it has to be told of the end of an attachment.
func (n *Network) Foreign() bool {
	return slices.ContainsFunc(n.list.Plugins, func(p *libcni.PluginConfig) bool { return p.Network.Type != bridge.Type })
}

// JSON is the configuration list as it lies on disk.
func (n *Network) JSON() []byte { return n.list.Bytes }

// file is the form on disk.
type file struct {
	CNIVersion string `json:"cniVersion"`
	Name       string `json:"name"`
	Note       Note   `json:"wherry"`
	Plugins    []any  `json:"plugins"`
}

// Versions of the specification in the lists that we write.
const (
	OurVersion     = "1.1.0" // for our own plugin
	ForeignVersion = "0.4.0" // for those of the CNI project: the oldest with CHECK, which old and new releases of them speak
)

// New makes a configuration list that is not on disk yet.
func New(version, name string, note Note, plugins ...any) (*Network, error) {
	data, err := json.MarshalIndent(file{version, name, note, plugins}, "", "  ")
	if err != nil {
		return nil, err
	}
	return parse(data, "network "+name)
}

// parse reads a configuration list; where is named in errors.
func parse(data []byte, where string) (*Network, error) {
	broken := func(format string, args ...any) error {
		return errdefs.New(errdefs.ErrBroken, where+": "+format, args...)
	}
	var f struct {
		Note *Note `json:"wherry"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		var at *json.UnmarshalTypeError
		if errors.As(err, &at) {
			return nil, broken("field %s cannot be a JSON %s", at.Field, at.Value)
		}
		return nil, broken("it is not JSON: %v", err)
	}
	list, err := libcni.NetworkConfFromBytes(data)
	if err != nil {
		return nil, broken("%v", err)
	}
	if len(list.Plugins) == 0 {
		return nil, broken("field plugins is missing or empty")
	}
	n := &Network{Name: list.Name, list: list}
	if f.Note != nil {
		n.Note = *f.Note
	}
	for i, p := range list.Plugins {
		if p.Network.Type == "" {
			return nil, broken("field plugins[%d].type is missing", i)
		}
		if p.Network.Type != bridge.Type {
			continue
		}
		c := &bridge.Conf{}
		if err := json.Unmarshal(p.Bytes, c); err != nil {
			var at *json.UnmarshalTypeError
			if errors.As(err, &at) {
				return nil, broken("field plugins[%d].%s cannot be a JSON %s", i, at.Field, at.Value)
			}
			return nil, broken("plugins[%d]: %v", i, err)
		}
		c.Name = list.Name
		n.Own = c
	}
	return n, nil
}

// Store is a directory of configuration lists, one file a network.
type Store struct{ Dir string }

func (s Store) path(name string) string { return filepath.Join(s.Dir, name+extension) }

// Load reads one network.
func (s Store) Load(name string) (*Network, error) {
	if name == "" || strings.ContainsRune(name, '/') || strings.HasPrefix(name, ".") {
		return nil, notFound(name)
	}
	data, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(name)
	} else if err != nil {
		return nil, err
	}
	n, err := parse(data, "network "+s.path(name))
	if err != nil {
		return nil, err
	}
	if n.Name != name {
		return nil, errdefs.New(errdefs.ErrBroken, "network %s: field name is %q", s.path(name), n.Name)
	}
	n.Path = s.path(name)
	return n, nil
}

func notFound(name string) error {
	return errdefs.New(errdefs.ErrNotFound, "there is no network %q (wherry network ls shows them, wherry network create makes one)", name)
}

// List reads all networks in order of their names; bad is told of those that cannot be read.
func (s Store) List(bad func(error)) []*Network {
	entries, _ := os.ReadDir(s.Dir)
	var all []*Network
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), extension)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		n, err := s.Load(name)
		if err != nil {
			bad(err)
			continue
		}
		all = append(all, n)
	}
	return all
}

// WithLock runs fn while nobody else adds or removes networks.
func (s Store) WithLock(fn func() error) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	dir, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", s.Dir, err)
	}
	return fn()
}

// Save writes a new network. The caller holds the lock.
func (s Store) Save(n *Network) error {
	if _, err := os.Lstat(s.path(n.Name)); err == nil {
		return errdefs.New(errdefs.ErrNameInUse, "there is a network %q already", n.Name)
	}
	n.Path = s.path(n.Name)
	return atomicfile.Write(n.Path, n.list.Bytes, 0o600, atomicfile.Durable)
}

// Remove takes a network away. The caller holds the lock.
func (s Store) Remove(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return atomicfile.SyncDir(s.Dir)
}
