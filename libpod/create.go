package libpod

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
	"github.com/wherry-containers/wherry/pkg/recorddir"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Create makes a container and returns its id. The image stays for as long as the record is there.
func (e *Engine) Create(ctx context.Context, opts CreateOptions) (string, error) {
	if err := e.settleRequires(ctx, &opts); err != nil {
		return "", err
	}
	c, lock, err := e.create(ctx, opts, atomicfile.Durable)
	if err != nil {
		return "", err
	}
	lock.Unlock()
	return c.ID, nil
}

// create is Create that returns the container locked, so that nobody prunes it before it is started. One that is started
// at once is written Ordered: the state that follows makes it durable.
func (e *Engine) create(ctx context.Context, opts CreateOptions, dur atomicfile.Durability) (*container, *recorddir.Lock, error) {
	if err := e.pullAhead(opts); err != nil {
		return nil, nil, err
	}
	if err := e.makeRoom(ctx, opts); err != nil {
		return nil, nil, err
	}
	if err := reserveCIDFile(opts.Config.Lifecycle.CIDFile); err != nil {
		return nil, nil, err
	}
	c, lock, err := e.createFrom(ctx, opts, dur)
	if errors.Is(err, errImageMissing) && opts.pullsMissing() {
		if err = opts.PullImage(opts.Config.Image.Name, "missing", opts.Platform); err == nil {
			c, lock, err = e.createFrom(ctx, opts, dur)
		}
	}
	if err != nil {
		dropCIDFile(opts.Config.Lifecycle.CIDFile)
		return nil, nil, err
	}
	return c, lock, e.finishCreate(ctx, c, lock)
}

// createFrom writes the record of a container of an image that is here. The image cannot be removed meanwhile.
func (e *Engine) createFrom(ctx context.Context, opts CreateOptions, dur atomicfile.Durability) (c *container, lock *recorddir.Lock, err error) {
	err = e.images.WithImagesShared(ctx, func() error {
		img, err := e.images.Lookup(ctx, opts.Config.Image.Name)
		if errors.Is(err, errdefs.ErrNotFound) {
			return fmt.Errorf("%w%w", errImageMissing, err)
		} else if err != nil {
			return err
		}
		if err := checkPlatform(img, opts); err != nil {
			return fmt.Errorf("%w%w", errImageMissing, err)
		}
		if err := checkRuns(img, opts.Config.Image.Name); err != nil {
			return err
		}
		c = &container{Config: opts.Config, state: record.State{Status: record.Created}, image: img}
		if err := e.settleMounts(ctx, &c.Config, opts); err != nil {
			return err
		}
		if err := mergeImage(&c.Config, img, opts); err != nil {
			return err
		}
		e.chooseManager(&c.Config, opts.CgroupManager)
		if err := e.checkLimits(&c.Config); err != nil {
			return err
		}
		if err := opts.Systemd.apply(&c.Config); err != nil {
			return err
		}
		if err := e.settleNetwork(&c.Config, img); err != nil {
			return err
		}
		if err := e.settleNamespaces(&c.Config, opts, img.Lower); err != nil {
			return err
		}
		lock, err = e.writeNew(&c.Config, dur)
		return err
	})
	return c, lock, err
}

// checkPlatform refuses an image for another platform than the one asked for.
func checkPlatform(img *store.Image, opts CreateOptions) error {
	if opts.Platform == "" {
		return nil
	}
	want, err := option.ParsePlatform(opts.Platform)
	if err != nil {
		return err
	}
	have := option.Platform{OS: img.Config.OS, Arch: img.Config.Architecture, Variant: img.Config.Variant}
	if want.Matches(have.OS, have.Arch, have.Variant) {
		return nil
	}
	return errdefs.New(errdefs.ErrNotFound, "image %q is here for %s, not for %s; wherry pull --platform %s %s fetches it",
		opts.Config.Image.Name, have, want, want, opts.Config.Image.Name)
}

// errImageMissing marks, without a text of its own, the one error that a pull may cure.
var errImageMissing = &errdefs.Kinded{Kind: errdefs.ErrNotFound}

// IsImageMissing tells whether a container was not made because its image is not here, or not for the platform asked for.
func IsImageMissing(err error) bool { return errors.Is(err, errImageMissing) }

func (o *CreateOptions) pullsMissing() bool {
	return o.PullImage != nil && (o.Pull == "" || o.Pull == "missing")
}

// pullAhead pulls when the policy asks for more than presence.
func (e *Engine) pullAhead(opts CreateOptions) error {
	if opts.PullImage == nil || opts.Pull == "never" || opts.pullsMissing() {
		return nil
	}
	return opts.PullImage(opts.Config.Image.Name, opts.Pull, opts.Platform)
}

// makeRoom removes the container that --replace asks to.
func (e *Engine) makeRoom(ctx context.Context, opts CreateOptions) error {
	if !opts.Replace || opts.Config.Name == "" {
		return nil
	}
	err := e.Remove(ctx, opts.Config.Name, RemoveOptions{Force: true})
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}

// finishCreate does what may follow the record: the volumes it names and the file with its id. On error the container
// is removed and the lock given back.
func (e *Engine) finishCreate(ctx context.Context, c *container, lock *recorddir.Lock) error {
	err := e.makeVolumes(ctx, &c.Config)
	if err == nil && c.Lifecycle.CIDFile != "" {
		err = os.WriteFile(c.Lifecycle.CIDFile, []byte(c.ID), 0o644)
	}
	if err == nil {
		e.note(c, "create")
		return nil
	}
	defer lock.Unlock()
	dropCIDFile(c.Lifecycle.CIDFile)
	return errors.Join(err, e.dropRecord(c, true))
}

// writeNew claims the name and writes the record. Until config.json is in place the container does not exist; from
// then on it does. A kill before leaves a directory that the next one to meet it removes.
func (e *Engine) writeNew(cfg *record.Config, dur atomicfile.Durability) (_ *recorddir.Lock, err error) {
	cfg.Version, cfg.ID, cfg.Created = record.Version, newID(), time.Now().UTC()
	if cfg.Hostname == "" && cfg.Network.Mode != "host" && !sharesUTS(cfg) {
		cfg.Hostname = shortID(cfg.ID)
	}
	lock, err := e.containers.New(cfg.ID)
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	defer func() {
		if err != nil {
			e.containers.Remove(cfg.ID, cfg.Name)
			lock.Unlock()
		}
	}()
	faultpoint.Hit("create.dir")
	if err := e.claimName(cfg); err != nil {
		return nil, err
	}
	if err := e.claimIDs(cfg); err != nil {
		return nil, err
	}
	data, err := lazyjson.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Lifecycle.AutoRemove {
		dur = atomicfile.Volatile
	}
	if err := e.containers.WriteFile(cfg.ID, record.ConfigFile, data, dur); err != nil {
		return nil, err
	}
	faultpoint.Hit("create.config")
	return lock, nil
}

// sharesUTS tells whether the host name is somebody else's.
func sharesUTS(cfg *record.Config) bool { return cfg.Namespaces.UTS != "" }

// claimName claims cfg.Name, or a free name of two words when there is none.
func (e *Engine) claimName(cfg *record.Config) error {
	if cfg.Name != "" {
		return e.containers.Claim(cfg.Name, cfg.ID, e.keepsName(cfg.Name))
	}
	for try := 0; ; try++ {
		name := randomName(try)
		err := e.containers.Claim(name, cfg.ID, nil)
		if err == nil {
			cfg.Name = name
			return nil
		}
		if !errors.Is(err, errdefs.ErrNameInUse) || try > 20 {
			return err
		}
	}
}

// keepsName tells whether a complete container still goes by name; a rename may have been killed after its claim.
func (e *Engine) keepsName(name string) func(string) bool {
	return func(id string) bool {
		c, err := e.load(id)
		return err != nil || c.name() == name
	}
}

func newID() string {
	var b [idLength / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// reserveCIDFile makes the id file; an existing one is an error, as in Docker.
func reserveCIDFile(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return errdefs.New(errdefs.ErrInUse, "container id file %q exists (remove it, or name another --cidfile)", path)
	} else if err != nil {
		return fmt.Errorf("--cidfile: %w", err)
	}
	return f.Close()
}

func dropCIDFile(path string) {
	if path != "" {
		os.Remove(path)
	}
}

// mergeImage resolves the image's settings into cfg, Docker's way: flags win, environment and labels are merged, an
// own entrypoint drops the image's command.
func mergeImage(cfg *record.Config, img *store.Image, opts CreateOptions) error {
	from := img.Config.Config
	cfg.Image = record.Image{ID: img.ID, Name: cfg.Image.Name, Ref: img.Ref, Layers: img.Layers}
	p := &cfg.Process
	p.Entrypoint, p.Command = from.Entrypoint, from.Cmd
	if opts.Entrypoint != nil {
		p.Entrypoint, p.Command = opts.Entrypoint, nil
	}
	if len(opts.Command) > 0 {
		p.Command = opts.Command
	}
	if len(p.Args()) == 0 {
		return errdefs.New(errdefs.ErrInvalid, "no command given, and image %q names none (add one after the image)", cfg.Image.Name)
	}
	p.Env = opts.EnvWish.merge(from.Env, opts.Env)
	p.WorkDir = firstOf(opts.WorkDir, from.WorkingDir, "/")
	p.User = firstOf(opts.User, from.User)
	cfg.Labels = mergeLabels(from.Labels, cfg.Labels)
	cfg.Lifecycle.StopSignal = firstOf(cfg.Lifecycle.StopSignal, from.StopSignal)
	cfg.Mounts = addImageVolumes(cfg.Mounts, from.Volumes, opts.ImageVolume)
	cfg.Rootfs.Volatile = cfg.Lifecycle.AutoRemove
	if cfg.Health == nil && !opts.NoHealth {
		cfg.Health = imageHealth(img)
	} else if cfg.Health != nil {
		asked := cfg.Health
		cfg.Health = mergeHealth(asked, imageHealth(img))
		return checkStartup(asked, cfg.Health)
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func newVolumeName() string { return newID() }
