// Package image carries out what needs registries, archives and a writable image store: pull, push, load, save,
// import, tag, remove and prune. Images and layers are kept by containers/storage and moved by containers/image.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/signature"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"
	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/registry"
	"github.com/wherry-containers/wherry/pkg/registry/access"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Driver is how containers/storage keeps layers.
type Driver struct {
	Name    string   // overlay or vfs
	Options []string // containers/storage's driver options
}

// Config is what a session needs from its surroundings.
type Config struct {
	Dirs   layout.Dirs
	Driver Driver
	In     io.Reader
	Out    io.Writer // results
	Err    io.Writer // progress, warnings; progress bars when it is a terminal
	Getenv func(string) string
	// EventsBackend is where events go (see package events); empty: the default.
	EventsBackend string
	Watch         Watch
}

// Session is one command's hold of the image store. Close it.
type Session struct {
	cfg    Config
	store  storage.Store
	names  *store.Store
	sys    types.SystemContext
	work   *workDir
	policy *signature.PolicyContext
}

// Open opens the store for a command that may write to it, and sweeps what killed sessions left.
func Open(cfg Config) (*Session, error) {
	s := &Session{cfg: cfg, names: store.Open(cfg.Dirs)}
	var err error
	s.work, err = openWorkDir(filepath.Join(cfg.Dirs.Data, "tmp"), func() error {
		if err := s.openStorage(); err != nil {
			return err
		}
		return s.collectFiles()
	})
	if err != nil {
		return nil, explainLocal("open the image store "+cfg.Dirs.Data, err)
	}
	if err := s.openStorage(); err != nil {
		s.work.close()
		return nil, explainLocal("open the image store "+cfg.Dirs.Graph(), err)
	}
	s.sys = systemContext(cfg, s.work.path)
	sysregistriesv2.InvalidateCache() // a service lives longer than what registries.conf says
	return s, nil
}

// Close gives the store and the temporary files back. It may be called twice.
func (s *Session) Close() error {
	if s.work == nil {
		return nil
	}
	work := s.work
	s.work = nil
	var err error
	if s.policy != nil {
		err = s.policy.Destroy()
	}
	stores.Lock()
	s.store.Free()
	stores.Unlock()
	return errors.Join(err, work.close())
}

// openStorage opens containers/storage, once.
func (s *Session) openStorage() error {
	if s.store != nil {
		return nil
	}
	opts, driver, err := storageOptions(s.cfg)
	if err != nil {
		return err
	}
	stores.Lock()
	defer stores.Unlock()
	s.store, err = storage.GetStore(storage.StoreOptions{
		RunRoot:            s.cfg.Dirs.GraphRun(),
		GraphRoot:          s.cfg.Dirs.Graph(),
		GraphDriverName:    driver,
		GraphDriverOptions: opts,
		// Of layers compressed by zstd:chunked only the files are fetched that are not in the store yet.
		PullOptions: map[string]string{"enable_partial_images": "true"},
	})
	if err == nil {
		istorage.Transport.SetStore(s.store)
	}
	return err
}

// stores guards the library's list of open stores, which a service's sessions share.
var stores sync.Mutex

func storageOptions(cfg Config) (opts []string, driver string, err error) {
	driver = cfg.Driver.Name
	if driver == "" {
		driver = "overlay"
	}
	opts = append(opts, cfg.Driver.Options...)
	if driver == "overlay" {
		// No bind mount of the graph root on itself: containers mount in name spaces of their own.
		opts = append(opts, "overlay.skip_mount_home=true")
	}
	roots, err := additionalStores(cfg)
	for _, root := range roots {
		opts = append(opts, driver+".imagestore="+root)
	}
	return opts, driver, err
}

// systemContext keeps everything that containers/image writes inside wherry's own directories.
func systemContext(cfg Config, tmp string) types.SystemContext {
	sys := types.SystemContext{
		BigFilesTemporaryDir:        tmp,
		BlobInfoCacheDir:            filepath.Join(cfg.Dirs.Cache(), "blobs"),
		UserShortNameAliasConfPath:  filepath.Join(cfg.Dirs.Data, "short-name-aliases.conf"),
		SystemRegistriesConfPath:    cfg.Getenv("CONTAINERS_REGISTRIES_CONF"),
		SystemRegistriesConfDirPath: cfg.Getenv("CONTAINERS_REGISTRIES_CONF_DIR"),
		AuthFilePath:                cfg.Getenv("REGISTRY_AUTH_FILE"),
		DockerRegistryUserAgent:     "wherry",
	}
	if sys.SystemRegistriesConfPath == "" {
		sys.SystemRegistriesConfPath = cfg.Getenv("REGISTRIES_CONFIG_PATH")
	}
	return sys
}

// policyContext reads policy.json; without one everything is accepted, as Docker does.
func (s *Session) policyContext() (*signature.PolicyContext, error) {
	if s.policy != nil {
		return s.policy, nil
	}
	policy, err := signature.DefaultPolicy(&s.sys)
	if err != nil {
		if policyFileExists(s.cfg.Getenv("HOME")) {
			return nil, fmt.Errorf("read the signature policy: %w", err)
		}
		policy = &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	}
	s.policy, err = signature.NewPolicyContext(policy)
	return s.policy, err
}

func policyFileExists(home string) bool {
	for _, path := range []string{filepath.Join(home, ".config/containers/policy.json"), "/etc/containers/policy.json"} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// registryContext is the system context for the registry of a name.
func (s *Session) registryContext(name string, opts access.Options, platform option.Platform) (*types.SystemContext, error) {
	sys := s.sys
	host := registry.DefaultHost
	if isQualified(name) {
		host, _, _ = strings.Cut(name, "/")
	}
	if err := registry.Apply(&sys, host, opts); err != nil {
		return nil, err
	}
	platform = platform.Normal()
	sys.OSChoice, sys.ArchitectureChoice, sys.VariantChoice = platform.OS, platform.Arch, platform.Variant
	return &sys, nil
}

// storageRef is the reference of a stored image by its id.
func (s *Session) storageRef(id string) (types.ImageReference, error) {
	return istorage.Transport.NewStoreReference(s.store, nil, id)
}

// lookup finds a stored image as every other command does.
func (s *Session) lookup(ctx context.Context, name string) (*store.Image, error) {
	return s.names.Lookup(ctx, name)
}

// isURL says whether the source of an import is to be downloaded.
func isURL(source string) bool {
	u, err := url.Parse(source)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// DriverFor puts a driver of package rootfs into containers/storage's words.
func DriverFor(name string) (Driver, error) {
	switch name {
	case "overlay", "vfs":
		return Driver{Name: name}, nil
	case "fuse-overlayfs":
		program, err := exec.LookPath(name)
		if err != nil {
			return Driver{}, fmt.Errorf("storage driver %s: %w", name, err)
		}
		return Driver{Name: "overlay", Options: []string{"overlay.mount_program=" + program}}, nil
	}
	return Driver{}, errdefs.New(errdefs.ErrUnsupported, "unknown storage driver %q", name)
}
