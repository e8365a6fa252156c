package api

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/containers/image/v5/docker/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/image/option"

	engine "github.com/wherry-containers/wherry/pkg/image"
)

// imageCreate pulls an image, or makes one of the tar of a root file system.
func (s *Server) imageCreate(w *response, r *request) error {
	switch {
	case r.param("fromImage") != "" && r.param("fromSrc") != "":
		return invalid("fromImage and fromSrc exclude each other")
	case r.param("fromImage") != "":
		return s.imagePull(w, r)
	case r.param("fromSrc") != "":
		return s.imageImport(w, r)
	}
	return invalid("fromImage or fromSrc is missing: where does the image come from?")
}

// pullName is the image that a query asks for; what comes as its tag may be a digest.
func pullName(name, tag string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, invalid("invalid reference format: %v", err)
	}
	if tag == "" {
		return named, nil
	}
	if sum, err := digest.Parse(tag); err == nil {
		return reference.WithDigest(reference.TrimNamed(named), sum)
	}
	tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
	if err != nil {
		return nil, invalid("invalid tag %q: %v", tag, err)
	}
	return tagged, nil
}

func (s *Server) imagePull(w *response, r *request) error {
	named, err := pullName(r.param("fromImage"), r.param("tag"))
	if err != nil {
		return err
	}
	for _, name := range []string{"repo", "message", "changes"} {
		if r.param(name) != "" {
			return unsupported(name, "it goes with fromSrc")
		}
	}
	var opts option.Pull
	if opts.Platform, err = parsePlatform(r.param("platform")); err != nil {
		return err
	}
	if opts.Options, err = registryAuth(r); err != nil {
		return err
	}
	opts.AllTags = reference.IsNameOnly(named) // as in Docker
	p := newPullProgress(w.messages(), named)
	cfg := s.imageConfig()
	cfg.Watch.Blob = p.blob
	if !opts.AllTags {
		if old, err := s.store().Lookup(r.Context(), named.String()); err == nil {
			p.old = old.ID
		}
	}
	err = s.withImages(r.Context(), cfg, func(session *engine.Session) error {
		ids, err := session.Pull(r.Context(), reference.FamiliarString(named), opts)
		if err != nil || len(ids) == 0 {
			return err
		}
		return p.done(s, r, ids)
	})
	return p.out.end(err)
}

// pullProgress tells a client how far a pull is, in Docker's words. Nothing is sent before the first layer is known, so
// that an image that is not there is an answer with a status.
type pullProgress struct {
	out   *messages
	named reference.Named
	old   string // id of what had the name before

	mu      sync.Mutex
	begun   bool
	arrived []string
}

func newPullProgress(out *messages, named reference.Named) *pullProgress {
	return &pullProgress{out: out, named: named}
}

// begin says what is pulled, once.
func (p *pullProgress) begin() {
	p.mu.Lock()
	begun := p.begun
	p.begun = true
	p.mu.Unlock()
	if begun {
		return
	}
	m := jsonstream.Message{Status: "Pulling from " + reference.Path(p.named)}
	if reference.Domain(p.named) != "docker.io" {
		m.Status = "Pulling from " + reference.Path(p.named)
	}
	switch v := p.named.(type) {
	case reference.Tagged:
		m.ID = v.Tag()
	case reference.Digested:
		m.ID = v.Digest().String()
	}
	p.out.send(m)
}

// blob tells of one layer.
func (p *pullProgress) blob(b engine.Blob) {
	p.begin()
	m := jsonstream.Message{ID: shortDigest(b.Digest), Progress: &jsonstream.Progress{}}
	switch b.Step {
	case engine.BlobFound:
		m.Status = "Pulling fs layer"
	case engine.BlobMoving:
		m.Status, m.Progress = "Downloading", &jsonstream.Progress{Current: b.Done, Total: b.Total}
	case engine.BlobArrived:
		m.Status = "Download complete"
		p.mu.Lock()
		p.arrived = append(p.arrived, b.Digest)
		p.mu.Unlock()
	case engine.BlobPresent:
		m.Status = "Already exists"
	}
	p.out.send(m)
}

// done tells what has come.
func (p *pullProgress) done(s *Server, r *request, ids []string) error {
	p.begin()
	for _, layer := range p.arrived {
		p.out.send(jsonstream.Message{ID: shortDigest(layer), Status: "Pull complete", Progress: &jsonstream.Progress{}})
	}
	img, err := s.store().Lookup(r.Context(), "sha256:"+ids[len(ids)-1])
	if err != nil {
		return err
	}
	p.out.send(jsonstream.Message{Status: "Digest: " + img.Digest})
	status := "Downloaded newer image"
	if img.ID == p.old {
		status = "Image is up to date"
	}
	return p.out.send(jsonstream.Message{Status: fmt.Sprintf("Status: %s for %s", status, reference.FamiliarString(p.named))})
}

// shortDigest is a layer as clients show it.
func shortDigest(sum string) string {
	_, hex, _ := strings.Cut(sum, ":")
	return hex[:min(12, len(hex))]
}

func (s *Server) imageImport(w *response, r *request) error {
	source := r.param("fromSrc")
	cfg := s.imageConfig()
	if source == "-" {
		cfg.In = r.body(w)
	} else {
		// A path would be one of the service's machine, not of the client's.
		if !strings.Contains(source, "://") {
			source = "http://" + source
		}
		if u, err := url.Parse(source); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return invalid("invalid fromSrc %q: want - (the request's body) or a URL", r.param("fromSrc"))
		}
	}
	opts := option.Import{Changes: r.params("changes"), Message: r.param("message"), Quiet: true}
	var err error
	if opts.Platform, err = parsePlatform(r.param("platform")); err != nil {
		return err
	}
	name := r.param("repo")
	if tag := r.param("tag"); tag != "" && name != "" {
		name += ":" + tag
	}
	out := w.messages()
	err = s.withImages(r.Context(), cfg, func(session *engine.Session) error {
		id, err := session.Import(r.Context(), source, name, opts)
		if err != nil {
			return err
		}
		return out.send(jsonstream.Message{Status: "sha256:" + id})
	})
	return out.end(err)
}

func (s *Server) imageLoad(w *response, r *request) error {
	if r.param("platform") != "" {
		return unsupported("platform", "an archive's images are loaded as they are (one platform each)")
	}
	cfg := s.imageConfig()
	cfg.In = r.body(w)
	out := w.messages()
	if !r.flag("quiet") {
		cfg.Watch.Blob = func(b engine.Blob) {
			if b.Step == engine.BlobMoving {
				out.send(jsonstream.Message{ID: shortDigest(b.Digest), Status: "Loading layer", Progress: &jsonstream.Progress{Current: b.Done, Total: b.Total}})
			}
		}
	}
	err := s.withImages(r.Context(), cfg, func(session *engine.Session) error {
		names, err := session.Load(r.Context(), option.Load{Quiet: true})
		for _, name := range names {
			what := "Loaded image: "
			if strings.HasPrefix(name, "sha256:") {
				what = "Loaded image ID: "
			}
			out.send(jsonstream.Message{Stream: what + name + "\n"})
		}
		return err
	})
	return out.end(err)
}

// imageSave streams an archive of one image or several. An error after the first byte breaks the connection off.
func (s *Server) imageSave(w *response, r *request) error {
	names := r.params("names")
	if name := r.vars["name"]; name != "" {
		names = []string{name}
	}
	if len(names) == 1 && strings.Contains(names[0], ",") { // clients of old
		names = strings.Split(names[0], ",")
	}
	if len(names) == 0 {
		return invalid("no image is named: give at least one in names")
	}
	for _, name := range names {
		img, err := s.image(r.Context(), name)
		if err == nil {
			err = checkPlatform(r, img, "platform")
		}
		if err != nil {
			return err
		}
	}
	cfg := s.imageConfig()
	cfg.Out = &typedWriter{w, "application/x-tar"}
	return s.withImages(r.Context(), cfg, func(session *engine.Session) error {
		return session.Save(r.Context(), names, option.Save{Quiet: true})
	})
}

// typedWriter sets the content type with the first byte: until then an answer can still be an error.
type typedWriter struct {
	*response
	contentType string
}

func (t *typedWriter) Write(p []byte) (int, error) {
	if !t.started {
		t.Header().Set("Content-Type", t.contentType)
	}
	return t.response.Write(p)
}

// imagePush sends one tag of an image, or all of them when none is given.
func (s *Server) imagePush(w *response, r *request) error {
	named, err := pullName(r.vars["name"], r.param("tag"))
	if err != nil {
		return err
	}
	if _, ok := named.(reference.Digested); ok {
		return invalid("cannot push a digest reference")
	}
	opts := option.Push{AllTags: reference.IsNameOnly(named)}
	if opts.Options, err = registryAuth(r); err != nil {
		return err
	}
	name := reference.FamiliarString(named)
	if !opts.AllTags {
		img, err := s.store().Lookup(r.Context(), named.String())
		if err != nil {
			return fail(statusOf(err), "An image does not exist locally with the tag: %s", reference.FamiliarName(named))
		}
		if err := checkPlatform(r, img, "platform"); err != nil {
			return err
		}
	}
	io.Copy(io.Discard, io.LimitReader(r.body(w), maxBody)) // clients of old send their log-in here, too
	out := w.messages()
	out.send(jsonstream.Message{Status: "The push refers to repository [" + named.Name() + "]"})
	cfg := s.imageConfig()
	cfg.Watch.Blob = func(b engine.Blob) { out.send(pushed(b)) }
	cfg.Watch.Pushed = func(p engine.Pushed) {
		out.send(jsonstream.Message{Status: fmt.Sprintf("%s: digest: %s size: %d", p.Tag, p.Digest, p.Size)})
		out.send(auxMessage{Aux: pushResult{Tag: p.Tag, Digest: p.Digest, Size: p.Size}})
	}
	err = s.withImages(r.Context(), cfg, func(session *engine.Session) error { return session.Push(r.Context(), name, "", opts) })
	return out.end(err)
}

// pushed is how far a layer is.
func pushed(b engine.Blob) jsonstream.Message {
	m := jsonstream.Message{ID: shortDigest(b.Digest), Progress: &jsonstream.Progress{}}
	switch b.Step {
	case engine.BlobFound:
		m.Status = "Preparing"
	case engine.BlobMoving:
		m.Status, m.Progress = "Pushing", &jsonstream.Progress{Current: b.Done, Total: b.Total}
	case engine.BlobArrived:
		m.Status = "Pushed"
	case engine.BlobPresent:
		m.Status = "Layer already exists"
	}
	return m
}

// auxMessage carries a result for programs.
type auxMessage struct {
	Progress struct{} `json:"progressDetail"`
	Aux      any      `json:"aux"`
}

// pushResult is the result of a push.
type pushResult struct {
	Tag    string
	Digest string
	Size   int
}
