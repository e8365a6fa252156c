package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/wherry-containers/wherry/buildah"
	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Compose builds by the docker command line's plugin buildx: it looks for a program of this name, asks it what it is, and
// gives it what is to be built as a file for bake. So that it finds us there is a link of this name beside us.
const (
	pluginName   = "docker-buildx"
	metadataWord = "docker-cli-plugin-metadata"
	// pluginVersion is that of the buildx whose bake this one does for Compose.
	pluginVersion = "v0.37.2"
)

func isPlugin(argv0 string) bool { return filepath.Base(argv0) == pluginName }

// plugin answers Compose.
func plugin(ctx context.Context, env *cmdkit.Env) error {
	args := env.Args[1:]
	if len(args) > 0 && args[0] == metadataWord {
		return json.NewEncoder(env.Out).Encode(map[string]string{
			"SchemaVersion": "0.1.0", "Vendor": "wherry", "Version": pluginVersion, "ShortDescription": "Builds of Compose, by wherry",
		})
	}
	if len(args) == 0 || args[0] != "bake" {
		return errdefs.New(errdefs.ErrUnsupported, "%s is for Compose, which asks for bake (wherry build builds an image)", pluginName)
	}
	wish, err := parseBake(args[1:])
	if err != nil {
		return err
	}
	if err := prepare(ctx, env, cmdkit.Inside); err != nil {
		return err
	}
	err = bake(ctx, env, wish)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(env.Err, "ERROR: "+err.Error()) // all of it is what Compose tells
		return cmdkit.Exit(1)
	}
	return err
}

// bakeWish is the command line.
type bakeWish struct {
	progress, metadata string
	allow, attests     []string
}

func parseBake(args []string) (bakeWish, error) {
	w := bakeWish{progress: "plain"}
	for i := 0; i < len(args); i++ {
		name, value, ok := strings.Cut(args[i], "=")
		if !ok && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch name {
		case "--file", "-f":
			if value != "-" {
				return w, errdefs.New(errdefs.ErrUnsupported, "bake --file %s: only - is supported (wherry build builds an image)", value)
			}
		case "--progress":
			w.progress = value
		case "--metadata-file":
			w.metadata = value
		case "--allow":
			w.allow = append(w.allow, value)
		case "--sbom", "--provenance":
			w.attests = append(w.attests, attest(strings.TrimPrefix(name, "--"), value))
		case "--builder":
			if value != "default" {
				return w, errdefs.New(errdefs.ErrNotFound, "there is no builder %q: wherry has one, in process", value)
			}
		default:
			return w, errdefs.New(errdefs.ErrInvalid, "bake: unknown flag %s", name)
		}
	}
	return w, nil
}

func attest(kind, value string) string {
	switch value {
	case "", "true":
		return "type=" + kind
	case "false":
		return "type=" + kind + ",disabled=true"
	}
	return "type=" + kind + "," + value
}

// bakeFile is what Compose writes.
type bakeFile struct {
	Group  map[string]struct{ Targets []string }
	Target map[string]bakeTarget
}

type bakeTarget struct {
	buildContext
	Args         map[string]string `json:"args"`
	Labels       map[string]string `json:"labels"`
	Tags         []string          `json:"tags"`
	CacheFrom    []string          `json:"cache-from"`
	CacheTo      []string          `json:"cache-to"`
	Target       string            `json:"target"`
	Secrets      []string          `json:"secret"`
	SSH          []string          `json:"ssh"`
	Platforms    []string          `json:"platforms"`
	Pull         bool              `json:"pull"`
	NoCache      bool              `json:"no-cache"`
	Filter       []string          `json:"no-cache-filter"`
	Call         string            `json:"call"`
	Entitlements []string          `json:"entitlements"`
	Outputs      []string          `json:"output"`
	Attest       []string          `json:"attest"`
	bakeSteps
}

type buildContext struct {
	Context    string            `json:"context"`
	Contexts   map[string]string `json:"contexts"`
	Dockerfile string            `json:"dockerfile"`
	Inline     string            `json:"dockerfile-inline"`
}

type bakeSteps struct {
	Network    string            `json:"network"`
	ShmSize    int64             `json:"shm-size,string"`
	Ulimits    []string          `json:"ulimits"`
	ExtraHosts map[string]string `json:"extra-hosts"`
}

// wanted are the targets of the default group and those that they are built on, in an order in which what is needed comes first.
func (f bakeFile) wanted() ([]string, error) {
	var order []string
	state := map[string]int{} // 1: on the way, 2: done
	var visit func(name string) error
	visit = func(name string) error {
		switch target, ok := f.Target[name]; {
		case !ok:
			return errdefs.New(errdefs.ErrNotFound, "there is no target %q", name)
		case state[name] == 1:
			return errdefs.New(errdefs.ErrInvalid, "target %q is built on itself", name)
		case state[name] == 0:
			state[name] = 1
			for _, other := range target.needs() {
				if err := visit(other); err != nil {
					return err
				}
			}
			state[name] = 2
			order = append(order, name)
		}
		return nil
	}
	for _, name := range f.Group["default"].Targets {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

const fromTarget = "target:"

// needs are the targets that one takes as contexts.
func (t bakeTarget) needs() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(t.Contexts)) {
		if other, ok := strings.CutPrefix(t.Contexts[name], fromTarget); ok {
			names = append(names, other)
		}
	}
	return names
}

// options are those of a build of the target. Files that are made for it go to dir.
func (t bakeTarget) options(all map[string]bakeTarget, w bakeWish, dir string) (option.Build, error) {
	o := option.Build{
		Context: t.Context, Contexts: map[string]string{}, Target: t.Target, Args: pairs(t.Args), Platforms: t.Platforms, NoCache: t.NoCache,
		NoCacheFilter: t.Filter, Access: option.Access{Secrets: t.Secrets},
		Steps: option.Steps{Network: t.Network, ShmSize: t.ShmSize, Ulimits: t.Ulimits},
		Result: option.Result{Tags: t.Tags, Labels: pairs(t.Labels), CacheFrom: t.CacheFrom, CacheTo: t.CacheTo, Attests: slices.Concat(t.Attest, w.attests),
			Metadata: filepath.Join(dir, "metadata.json")},
		Display: option.Display{Progress: w.progress},
	}
	for name, from := range t.Contexts {
		if other, ok := strings.CutPrefix(from, fromTarget); ok {
			if len(all[other].Tags) == 0 {
				return o, errdefs.New(errdefs.ErrInvalid, "target %q, a context of another, has no tag", other)
			}
			from = "docker-image://" + all[other].Tags[0]
		}
		o.Contexts[name] = from
	}
	for _, ssh := range t.SSH {
		o.Access.SSH = append(o.Access.SSH, strings.TrimSuffix(ssh, "="))
	}
	for host, addresses := range t.ExtraHosts {
		for _, address := range strings.Split(addresses, ",") {
			o.Steps.Hosts = append(o.Steps.Hosts, host+":"+address)
		}
	}
	for _, out := range t.Outputs {
		if out != "type=docker" { // the image in the store, which is what becomes of a build without any
			o.Result.Outputs = append(o.Result.Outputs, out)
		}
	}
	for _, e := range t.Entitlements {
		if slices.Contains(w.allow, e) {
			o.Allow = append(o.Allow, e)
		}
	}
	if t.Pull {
		o.Pull = "always"
	}
	if t.Call == "lint" {
		o.Call, o.Result.Metadata = "check", ""
	}
	switch {
	case t.Inline != "":
		file := filepath.Join(dir, "Dockerfile")
		if err := os.WriteFile(file, []byte(plainText(t.Inline)), 0o600); err != nil {
			return o, err
		}
		o.Files = []string{file}
	case t.Dockerfile != "":
		o.Files = []string{t.Dockerfile}
	}
	return o, nil
}

// pairs are NAME=VALUE, by name.
func pairs(m map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, name+"="+plainText(m[name]))
	}
	return list
}

// plainText takes back what Compose does to a text so that bake leaves variables in it alone.
func plainText(text string) string { return strings.ReplaceAll(text, "$${", "${") }

// bake builds the targets, those that do not need each other side by side.
func bake(ctx context.Context, env *cmdkit.Env, w bakeWish) error {
	var file bakeFile
	if err := json.NewDecoder(env.In).Decode(&file); err != nil {
		return fmt.Errorf("bake: the definition on standard input: %w", err)
	}
	order, err := file.wanted()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wherry-bake-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if w.progress == "rawjson" {
		env.ErrFile = nil
		env.Err = &lines{w: env.Err}
	}
	err = withBuilder(ctx, env, func(*buildah.Config) {}, func(b *buildah.Builder) error { return bakeTargets(ctx, b, file, order, w, dir) })
	if err != nil || w.metadata == "" {
		return err
	}
	return joinMetadata(order, dir, w.metadata)
}

func bakeTargets(ctx context.Context, b *buildah.Builder, file bakeFile, order []string, w bakeWish, dir string) error {
	done := make(map[string]chan struct{}, len(order))
	for _, name := range order {
		done[name] = make(chan struct{})
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range order {
		target, own := file.Target[name], filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		group.Go(func() error {
			for _, other := range target.needs() {
				select {
				case <-done[other]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			o, err := target.options(file.Target, w, own)
			if err == nil {
				err = b.Build(ctx, o)
			}
			if err != nil {
				return fmt.Errorf("target %s: %w", name, err)
			}
			close(done[name])
			return nil
		})
	}
	return group.Wait()
}

// joinMetadata puts what each build says of its result into one file.
func joinMetadata(order []string, dir, path string) error {
	all := map[string]json.RawMessage{}
	for i, name := range order {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i), "metadata.json"))
		if errors.Is(err, os.ErrNotExist) {
			data = []byte("{}")
		} else if err != nil {
			return err
		}
		all[name] = data
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600, atomicfile.Volatile)
}

// lines lets one write of many end before the next begins.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
