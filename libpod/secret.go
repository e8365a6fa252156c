package libpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/nearest"
	"github.com/wherry-containers/wherry/pkg/recorddir"
)

const (
	secretFile = "secret.json"
	// secretIDLength is Docker's and Podman's.
	secretIDLength = 25
	// MaxSecret bounds the size of a secret, as Docker and Podman do.
	MaxSecret = 512000
)

// Secret is one secret, as `secret inspect` shows it; the value is in none of its fields.
type Secret struct {
	ID         string
	Name       string
	Driver     string
	DriverOpts map[string]string
	Labels     map[string]string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// secretRecord is secret.json.
type secretRecord struct {
	Version int
	Secret  Secret
}

// SecretCreateOptions is what `secret create` needs.
type SecretCreateOptions struct {
	Name       string
	Data       []byte
	Driver     string // file (default), pass, shell
	DriverOpts map[string]string
	Labels     map[string]string
	Replace    bool // take the place of one of the name
	Ignore     bool // one of the name is fine: it stays as it is
}

// SecretCreate keeps a secret and returns its id. The name is claimed last: until then nobody sees it, and with Replace
// everybody sees the old value until then.
func (e *Engine) SecretCreate(ctx context.Context, opts SecretCreateOptions) (string, error) {
	if err := checkSecret(opts); err != nil {
		return "", err
	}
	old, err := e.namedSecret(opts.Name)
	switch {
	case err != nil && !errors.Is(err, errdefs.ErrNotFound) && !opts.Replace:
		return "", err
	case err == nil && opts.Ignore:
		return old.ID, nil
	case err == nil && !opts.Replace:
		return "", errdefs.New(errdefs.ErrNameInUse, "there is a secret %q already (use --replace, or remove it first)", opts.Name)
	}
	e.sweepSecrets(ctx)
	s := Secret{ID: newID()[:secretIDLength], Name: opts.Name, Driver: firstOf(opts.Driver, "file"), DriverOpts: opts.DriverOpts,
		Labels: opts.Labels, CreatedAt: time.Now().UTC()}
	s.UpdatedAt = s.CreatedAt
	if old != nil {
		s.CreatedAt = old.CreatedAt
	}
	if err := e.writeSecret(ctx, s, opts.Data, opts.Replace); err != nil {
		return s.ID, err
	}
	e.noteSecret(s.ID, s.Name, "create")
	return s.ID, nil
}

func checkSecret(opts SecretCreateOptions) error {
	if opts.Name == "" || strings.ContainsAny(opts.Name, "/\x00") || opts.Name[0] == '.' {
		return errdefs.New(errdefs.ErrInvalid, "invalid name of a secret %q (letters, digits, and after the first also _ . -)", opts.Name)
	}
	if len(opts.Data) == 0 || len(opts.Data) > MaxSecret {
		return errdefs.New(errdefs.ErrInvalid, "secret %q has %d bytes: a secret has 1 to %d", opts.Name, len(opts.Data), MaxSecret)
	}
	return nil
}

// writeSecret writes the record, so that whoever sweeps it knows its driver, then the value, and then claims the name.
func (e *Engine) writeSecret(ctx context.Context, s Secret, data []byte, replace bool) (err error) {
	driver, err := e.secretDriver(s)
	if err != nil {
		return err
	}
	lock, err := e.secrets.New(s.ID)
	if err != nil {
		return fmt.Errorf("create secret %q: %w", s.Name, err)
	}
	defer lock.Unlock()
	defer func() {
		if err != nil {
			err = errors.Join(err, driver.delete(context.WithoutCancel(ctx)), e.secrets.Remove(s.ID)) // nothing may stay of it
		}
	}()
	faultpoint.Hit("secret.dir")
	rec, err := json.Marshal(secretRecord{Version: record.Version, Secret: s})
	if err != nil {
		return err
	}
	if err := e.secrets.WriteFile(s.ID, secretFile, rec, atomicfile.Durable); err != nil {
		return err
	}
	faultpoint.Hit("secret.recorded")
	if err := driver.store(ctx, data); err != nil {
		return fmt.Errorf("create secret %q: %w", s.Name, err)
	}
	faultpoint.Hit("secret.stored")
	return e.nameSecret(ctx, s, replace)
}

// nameSecret claims the name for s, and with replace takes it from another one, which is removed then.
func (e *Engine) nameSecret(ctx context.Context, s Secret, replace bool) error {
	if !replace {
		err := e.secrets.Claim(s.Name, s.ID, nil)
		if errors.Is(err, errdefs.ErrNameInUse) {
			return errdefs.New(errdefs.ErrNameInUse, "there is a secret %q already (use --replace, or remove it first)", s.Name)
		}
		return errors.Join(err, atomicfile.SyncDir(e.dirs.SecretNames()))
	}
	old, err := e.secrets.TakeOver(s.Name, s.ID)
	if err != nil || old == "" {
		return err
	}
	if err := e.removeSecret(ctx, old, ""); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		e.opts.Warn(fmt.Sprintf("the old value of secret %q is still there: %v (wherry system check --repair removes it)", s.Name, err))
	}
	return nil
}

// namedSecret is the secret that goes by the name.
func (e *Engine) namedSecret(name string) (*Secret, error) {
	for range 3 { // it may be replaced between the look at its name and that at its record
		if id, ok := e.secrets.Owner(name); ok {
			s, err := e.loadSecret(id)
			if !errors.Is(err, errdefs.ErrNotFound) {
				return s, err
			}
		}
	}
	return nil, errdefs.New(errdefs.ErrNotFound, "no secret %q (wherry secret ls lists them)", name)
}

func (e *Engine) loadSecret(id string) (*Secret, error) {
	data, err := e.secrets.ReadFile(id, secretFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.New(errdefs.ErrNotFound, "no secret %q (wherry secret ls lists them)", id)
	} else if err != nil {
		return nil, err
	}
	rec := secretRecord{}
	if err := json.Unmarshal(data, &rec); err != nil {
		return nil, errdefs.New(errdefs.ErrBroken, "secret %s has a broken %s: %v (wherry secret rm removes it)", id, secretFile, err)
	}
	if rec.Version > record.Version {
		return nil, errdefs.New(errdefs.ErrNewerVersion, "secret %s was written by a newer version of wherry (upgrade wherry)", id)
	}
	return &rec.Secret, nil
}

// findSecret is the id and the name that ref stands for: a name, an id, or the beginning of one.
func (e *Engine) findSecret(ref string) (id, name string, err error) {
	names, err := e.secrets.AllNames()
	if err != nil {
		return "", "", err
	}
	var found []string
	for _, n := range names {
		owner, ok := e.secrets.Owner(n)
		switch {
		case !ok || !e.secrets.Complete(owner):
		case n == ref:
			return owner, n, nil
		case ref != "" && strings.HasPrefix(owner, ref):
			found, id, name = append(found, n), owner, n
		}
	}
	switch len(found) {
	case 1:
		return id, name, nil
	case 0:
		if near := nearest.Of(ref, names); near != "" {
			return "", "", errdefs.New(errdefs.ErrNotFound, "no secret %q (did you mean %q?)", ref, near)
		}
		return "", "", errdefs.New(errdefs.ErrNotFound, "no secret %q (wherry secret ls lists them)", ref)
	}
	slices.Sort(found)
	return "", "", errdefs.New(errdefs.ErrAmbiguous, "%q is the beginning of several secrets' ids: %s (type more of it)", ref, strings.Join(found, ", "))
}

// SecretInspect returns the secret that ref, a name or an id, stands for.
func (e *Engine) SecretInspect(_ context.Context, ref string) (*Secret, error) {
	id, _, err := e.findSecret(ref)
	if err != nil {
		return nil, err
	}
	return e.loadSecret(id)
}

// SecretExists tells whether there is a secret of the name or id.
func (e *Engine) SecretExists(_ context.Context, ref string) (bool, error) {
	_, _, err := e.findSecret(ref)
	if errors.Is(err, errdefs.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// SecretValue returns the value. It must go nowhere but where the user asked for it.
func (e *Engine) SecretValue(ctx context.Context, s *Secret) ([]byte, error) {
	driver, err := e.secretDriver(*s)
	if err != nil {
		return nil, err
	}
	data, err := driver.lookup(ctx)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", s.Name, err)
	}
	return data, nil
}

// SecretList returns the secrets that match filters (name, id, label, driver), by name.
func (e *Engine) SecretList(_ context.Context, filters map[string][]string) ([]Secret, error) {
	match, err := secretFilter(filters)
	if err != nil {
		return nil, err
	}
	names, err := e.secrets.AllNames()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var list []Secret
	for _, name := range names {
		s, err := e.namedSecret(name)
		switch {
		case errors.Is(err, errdefs.ErrNotFound):
		case err != nil:
			e.opts.Warn(err.Error())
		case match(s):
			list = append(list, *s)
		}
	}
	return list, nil
}

// secretFilter: values of one key are alternatives, keys must all hold.
func secretFilter(filters map[string][]string) (func(*Secret) bool, error) {
	tests := map[string]func(s *Secret, value string) bool{
		"name":   func(s *Secret, v string) bool { return strings.Contains(s.Name, v) },
		"id":     func(s *Secret, v string) bool { return strings.HasPrefix(s.ID, v) },
		"driver": func(s *Secret, v string) bool { return s.Driver == v },
		"label":  func(s *Secret, v string) bool { return matchLabel(s.Labels, v) },
	}
	for key := range filters {
		if tests[key] == nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "unknown filter %q of secrets (name, id, driver, label)", key)
		}
	}
	return func(s *Secret) bool {
		for key, values := range filters {
			if !slices.ContainsFunc(values, func(v string) bool { return tests[key](s, v) }) {
				return false
			}
		}
		return true
	}, nil
}

// SecretRemove removes the secret that ref stands for and returns its id. A container that uses it keeps running, and
// cannot be started again.
func (e *Engine) SecretRemove(ctx context.Context, ref string) (string, error) {
	e.sweepSecrets(ctx)
	id, name, err := e.findSecret(ref)
	if err != nil {
		return "", err
	}
	if err := e.removeSecret(ctx, id, name); err != nil {
		return id, err
	}
	e.noteSecret(id, name, "remove")
	return id, nil
}

// removeSecret removes what an outside driver keeps, then the record with its name.
func (e *Engine) removeSecret(ctx context.Context, id, name string) error {
	return e.secrets.WithLock(ctx, id, func() error { return e.removeSecretLocked(ctx, id, name) })
}

func (e *Engine) removeSecretLocked(ctx context.Context, id, name string) error {
	if s, err := e.loadSecret(id); err == nil {
		driver, err := e.secretDriver(*s)
		if err == nil {
			err = driver.delete(ctx)
		}
		if err != nil {
			return fmt.Errorf("remove secret %q: %w", s.Name, err)
		}
		faultpoint.Hit("secret.deleted")
	}
	if name == "" {
		return e.secrets.Remove(id)
	}
	return e.secrets.Remove(id, name)
}

// sweepSecrets removes what killed creators left: values that go by no name. There are none unless there are more
// records than names.
func (e *Engine) sweepSecrets(ctx context.Context) {
	for _, id := range e.namelessSecrets() {
		lock, err := e.secrets.TryAcquire(id)
		if err != nil || lock == nil {
			continue // it is being made
		}
		if slices.Contains(e.namelessSecrets(), id) {
			e.removeSecretLocked(ctx, id, "")
		}
		lock.Unlock()
	}
}

func (e *Engine) namelessSecrets() []string {
	ids, err := e.secrets.IDs()
	names, namesErr := e.secrets.AllNames()
	if err != nil || namesErr != nil || len(ids) <= len(names) && !slices.ContainsFunc(names, func(n string) bool { return !e.ownsComplete(n) }) {
		return nil
	}
	for _, name := range names {
		owner, _ := e.secrets.Owner(name)
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == owner })
	}
	return ids
}

func (e *Engine) ownsComplete(name string) bool {
	id, ok := e.secrets.Owner(name)
	return ok && e.secrets.Complete(id)
}

// secretDir is the set of secrets.
func (e *Engine) secretDir() recorddir.Dir {
	return recorddir.Dir{Kind: "secret", Root: e.dirs.Secrets(), Names: e.dirs.SecretNames(), Trash: e.dirs.Trash(), Marker: secretFile}
}

// secretRecords checks for values that go by no name.
func (k *checker) secretRecords(ctx context.Context) error {
	for _, id := range k.e.namelessSecrets() {
		lock, err := k.e.secrets.TryAcquire(id)
		if err != nil || lock == nil {
			continue
		}
		k.report("secret "+shortID(id), "it goes by no name: its creator or remover was killed", func() error { return k.e.removeSecretLocked(ctx, id, "") })
		lock.Unlock()
	}
	names, err := k.e.secrets.AllNames()
	for _, name := range names {
		id, ok := k.e.secrets.Owner(name)
		if ok && !k.e.secrets.Complete(id) {
			k.report("secret "+name, "its remover was killed: only the name is left", func() error { return k.e.secrets.Release(name, id) })
		}
	}
	return err
}
