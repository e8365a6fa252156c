package request

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/wherry-containers/wherry/buildah/export"
	"github.com/wherry-containers/wherry/pkg/image"
)

// Store is the exporter that keeps the image in wherry's own store.
const Store = client.ExporterImage

// Squash is an attribute of ours for an output that is an image: it has one layer of what the Dockerfile adds or, with
// SquashAll, of everything.
const (
	Squash    = "wherry.squash"
	SquashAll = "all"
)

// List is an attribute of ours for an output that is kept in the store: a manifest list that the images are added to.
const List = export.ListKey

// addResult says what becomes of the result.
func (r *Request) addResult() error {
	for _, l := range r.opts.Result.Labels {
		name, value, _ := strings.Cut(l, "=")
		if name == "" {
			return invalid("--label %q: NAME=VALUE is expected", l)
		}
		r.set("label:"+name, value)
	}
	outputs, err := r.outputs()
	if err != nil {
		return err
	}
	names, err := tags(r.opts.Result.Tags)
	if err != nil {
		return err
	}
	for i := range outputs {
		if err := r.describe(&outputs[i], names); err != nil {
			return err
		}
	}
	r.Solve.Exports = outputs
	return r.addToList()
}

// addToList has the images added to a manifest list, by the output that brings them into the store.
func (r *Request) addToList() error {
	name := r.opts.Result.Manifest
	if name == "" || r.opts.Call != "" {
		return nil
	}
	full, err := image.TagName(name)
	if err != nil {
		return fmt.Errorf("--manifest: %w", err)
	}
	if slices.ContainsFunc(r.opts.Result.Tags, func(t string) bool { tag, err := image.TagName(t); return err == nil && tag == full }) {
		return invalid("--manifest %s: the image itself cannot have that name (--tag)", name)
	}
	for _, e := range r.Solve.Exports {
		if e.Type == Store && e.Attrs["store"] != "false" {
			e.Attrs[List] = full
			return nil
		}
	}
	return invalid("--manifest %s needs the images in the store (add --load to --output)", name)
}

// tags are the names of the image in full.
func tags(list []string) (string, error) {
	var names []string
	for _, t := range list {
		name, err := image.TagName(t)
		if err != nil {
			return "", fmt.Errorf("--tag: %w", err)
		}
		names = append(names, name)
	}
	return strings.Join(names, ","), nil
}

// outputs are what --output, --push and --load ask for; the store if there is nothing.
func (r *Request) outputs() ([]client.ExportEntry, error) {
	res := r.opts.Result
	var list []client.ExportEntry
	stdout := false
	for _, text := range res.Outputs {
		e, err := r.output(text, &stdout)
		if err != nil {
			return nil, fmt.Errorf("--output %s: %w", text, err)
		}
		list = append(list, e)
	}
	if r.opts.Call != "" {
		return nil, nil
	}
	if len(list) == 0 {
		list = append(list, client.ExportEntry{Type: Store, Attrs: map[string]string{}})
	} else if res.Load {
		list = append(list, client.ExportEntry{Type: Store, Attrs: map[string]string{}})
	}
	if res.Push {
		pushed := false
		for _, e := range list {
			if e.Type == client.ExporterImage {
				e.Attrs["push"], pushed = "true", true
			}
		}
		if !pushed {
			list = append(list, client.ExportEntry{Type: client.ExporterImage, Attrs: map[string]string{"push": "true", "store": "false"}})
		}
	}
	return list, nil
}

// output reads one --output: a directory, - for a tar archive on standard output, or type=...,dest=....
func (r *Request) output(text string, stdout *bool) (client.ExportEntry, error) {
	e := client.ExportEntry{Attrs: map[string]string{}}
	dest, err := parseOutput(text, &e)
	if err != nil {
		return e, err
	}
	file, dir := false, false
	switch e.Type {
	case client.ExporterLocal:
		dir = true
	case client.ExporterTar:
		file = true
	case client.ExporterOCI, client.ExporterDocker:
		tar, err := strconv.ParseBool(e.Attrs["tar"])
		file = err != nil || tar
		dir = !file
		if e.Type == client.ExporterDocker && dest == "" {
			e.Type, file, dir = Store, false, false // docker load's place is the store
		}
	case client.ExporterImage:
	case "registry":
		e.Type = client.ExporterImage
		e.Attrs["push"], e.Attrs["store"] = "true", "false"
	case "cacheonly":
	default:
		return e, invalid("unknown type %q: want image, registry, local, tar, oci or docker", e.Type)
	}
	if dir {
		return e, outputDir(&e, dest)
	}
	if !file {
		if dest != "" {
			return e, invalid("an output of type %s has no destination", e.Type)
		}
		return e, nil
	}
	e.Output, err = r.outputFile(dest, stdout)
	return e, err
}

func parseOutput(text string, e *client.ExportEntry) (dest string, err error) {
	fields, err := csvvalue.Fields(text, nil)
	if err != nil {
		return "", invalid("it is no list of KEY=VALUE: %v", err)
	}
	if len(fields) == 1 && !strings.HasPrefix(text, "type=") {
		e.Type = client.ExporterLocal
		if text == "-" {
			e.Type = client.ExporterTar
		}
		return text, nil
	}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		switch key = strings.TrimSpace(strings.ToLower(key)); {
		case !ok:
			return "", invalid("%q is no KEY=VALUE", f)
		case key == "type":
			e.Type = value
		case key == "dest":
			dest = value
		default:
			e.Attrs[key] = value
		}
	}
	if e.Type == "" {
		return "", invalid("the type is missing")
	}
	return dest, nil
}

func outputDir(e *client.ExportEntry, dest string) error {
	if dest == "" || dest == "-" {
		return invalid("a directory is needed: dest=DIR")
	}
	if info, err := os.Stat(dest); err == nil && !info.IsDir() {
		return invalid("%s is no directory", dest)
	}
	e.OutputDir = dest
	return nil
}

// outputFile opens the file when there is something to write.
func (r *Request) outputFile(dest string, stdout *bool) (filesync.FileOutputFunc, error) {
	if dest == "" || dest == "-" {
		if *stdout {
			return nil, invalid("only one output can be standard output")
		}
		*stdout = true
		if info, err := r.env.Out.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return nil, invalid("an archive is not written to a terminal (give a file: dest=FILE)")
		}
		return func(map[string]string) (io.WriteCloser, error) { return nopCloser{r.env.Out}, nil }, nil
	}
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		return nil, invalid("%s is a directory", dest)
	}
	return func(map[string]string) (io.WriteCloser, error) { return os.Create(dest) }, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// describe adds to an output what other flags say of the image.
func (r *Request) describe(e *client.ExportEntry, names string) error {
	res := r.opts.Result
	switch e.Type {
	case client.ExporterImage, client.ExporterOCI, client.ExporterDocker:
	default:
		return nil
	}
	if names != "" {
		e.Attrs["name"] = names
	}
	if push, _ := strconv.ParseBool(e.Attrs["push"]); push && e.Attrs["name"] == "" {
		return invalid("a name is needed to push to (--tag NAME)")
	}
	switch res.Format {
	case "":
	case "oci":
		e.Attrs["oci-mediatypes"] = "true"
	case "docker":
		e.Attrs["oci-mediatypes"] = "false"
	default:
		return invalid("--format %q: want oci or docker", res.Format)
	}
	if res.Compression != "" && e.Attrs["compression"] == "" {
		e.Attrs["compression"] = res.Compression
	}
	if res.Rewrite {
		e.Attrs["rewrite-timestamp"] = "true"
	}
	if res.SquashAll {
		e.Attrs[Squash] = SquashAll
	} else if res.Squash {
		e.Attrs[Squash] = "new"
	}
	return annotate(e.Attrs, res.Annotations)
}

// annotate puts [TYPE[PLATFORM],...:]KEY=VALUE in the exporter's words.
func annotate(attrs map[string]string, list []string) error {
	for _, a := range list {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return invalid("--annotation %q: KEY=VALUE is expected", a)
		}
		types, name, typed := strings.Cut(key, ":")
		if !typed {
			attrs["annotation."+key] = value
			continue
		}
		for _, t := range strings.Split(types, ",") {
			kind, platform, _ := strings.Cut(strings.TrimSuffix(t, "]"), "[")
			switch kind {
			case "index", "index-descriptor", "manifest", "manifest-descriptor":
			default:
				return invalid("--annotation %q: unknown type %q", a, t)
			}
			if platform != "" {
				platform = "[" + platform + "]"
			}
			attrs["annotation-"+kind+platform+"."+name] = value
		}
	}
	return nil
}

// addCaches says where results come from and go to, besides the store.
func (r *Request) addCaches() (err error) {
	if r.Solve.CacheImports, err = caches("--cache-from", r.opts.Result.CacheFrom, "src"); err != nil {
		return err
	}
	r.Solve.CacheExports, err = caches("--cache-to", r.opts.Result.CacheTo, "dest")
	if inline, _ := strconv.ParseBool(r.Solve.FrontendAttrs["build-arg:BUILDKIT_INLINE_CACHE"]); inline {
		r.Solve.CacheExports = append(r.Solve.CacheExports, client.CacheOptionsEntry{Type: "inline", Attrs: map[string]string{}})
	}
	return err
}

func caches(flag string, list []string, place string) ([]client.CacheOptionsEntry, error) {
	var out []client.CacheOptionsEntry
	for _, text := range list {
		fields, err := csvvalue.Fields(text, nil)
		if err != nil {
			return nil, invalid("%s %s: %v", flag, text, err)
		}
		if !strings.Contains(text, "=") {
			for _, ref := range fields {
				out = append(out, client.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}})
			}
			continue
		}
		e := client.CacheOptionsEntry{Attrs: map[string]string{}}
		for _, f := range fields {
			key, value, ok := strings.Cut(f, "=")
			switch {
			case !ok:
				return nil, invalid("%s %s: %q is no KEY=VALUE", flag, text, f)
			case strings.ToLower(key) == "type":
				e.Type = value
			default:
				e.Attrs[strings.ToLower(key)] = value
			}
		}
		switch e.Type {
		case "registry", "inline":
		case "local":
			if e.Attrs[place] == "" {
				return nil, invalid("%s %s: a directory is needed: %s=DIR", flag, text, place)
			}
		case "":
			return nil, invalid("%s %s: the type is missing", flag, text)
		default:
			return nil, invalid("%s %s: type %q is not supported: want registry, local or inline", flag, text, e.Type)
		}
		out = append(out, e)
	}
	return out, nil
}

// addAttests asks for statements about the image.
func (r *Request) addAttests() error {
	for _, text := range r.opts.Result.Attests {
		fields, err := csvvalue.Fields(text, nil)
		if err != nil {
			return invalid("--attest %s: %v", text, err)
		}
		kind, disabled := "", false
		var rest []string
		for _, f := range fields {
			key, value, _ := strings.Cut(f, "=")
			switch strings.ToLower(key) {
			case "type":
				kind = value
			case "disabled":
				if disabled, err = strconv.ParseBool(value); err != nil {
					return invalid("--attest %s: %q is not true or false", text, value)
				}
			default:
				rest = append(rest, f)
			}
		}
		switch {
		case kind != "provenance" && kind != "sbom":
			return invalid("--attest %s: want type=provenance or type=sbom", text)
		case disabled:
			delete(r.Solve.FrontendAttrs, "attest:"+kind)
		default:
			r.set("attest:"+kind, strings.Join(rest, ","))
		}
	}
	return nil
}

// addSession offers secrets, the SSH agent and the log-ins of registries.
func (r *Request) addSession() error {
	sources, err := r.secrets()
	if err != nil {
		return err
	}
	if len(sources) > 0 {
		store, err := secretsprovider.NewStore(sources)
		if err != nil {
			return invalid("--secret: %v", err)
		}
		r.Solve.Session = append(r.Solve.Session, secretsprovider.NewSecretProvider(store))
	}
	var agents []sshprovider.AgentConfig
	for _, text := range r.opts.Access.SSH {
		id, paths, ok := strings.Cut(text, "=")
		agent := sshprovider.AgentConfig{ID: id}
		if ok {
			agent.Paths = strings.Split(paths, ",")
		}
		agents = append(agents, agent)
	}
	if len(agents) > 0 {
		ssh, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return invalid("--ssh: %v", err)
		}
		r.Solve.Session = append(r.Solve.Session, ssh)
	}
	return nil
}

func (r *Request) secrets() ([]secretsprovider.Source, error) {
	var out []secretsprovider.Source
	for _, text := range r.opts.Access.Secrets {
		fields, err := csvvalue.Fields(text, nil)
		if err != nil {
			return nil, invalid("--secret %q: %v", text, err)
		}
		var s secretsprovider.Source
		kind := ""
		for _, f := range fields {
			key, value, ok := strings.Cut(f, "=")
			switch strings.ToLower(key) {
			case "type":
				kind = value
			case "id":
				s.ID = value
			case "src", "source":
				s.FilePath = value
			case "env":
				s.Env = value
			default:
				ok = false
			}
			if !ok {
				return nil, invalid("--secret: %q is not understood: want id=ID[,src=FILE|env=NAME]", f)
			}
		}
		if kind != "" && kind != "file" && kind != "env" {
			return nil, invalid("--secret: unknown type %q: want file or env", kind)
		}
		if kind == "env" && s.Env == "" {
			s.Env, s.FilePath = s.FilePath, ""
		}
		if s.ID == "" {
			return nil, invalid("--secret: the id is missing: want id=ID[,src=FILE|env=NAME]")
		}
		out = append(out, s)
	}
	return out, nil
}
