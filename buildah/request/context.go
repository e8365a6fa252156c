package request

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session/upload/uploadprovider"
	"github.com/moby/go-archive/compression"
	"github.com/opencontainers/go-digest"
)

// Names of local directories in BuildKit's frontend.
const (
	contextDir    = "context"
	dockerfileDir = "dockerfile"
)

// Names of a Dockerfile where the user gives none, the preferred one first.
var fileNames = []string{"Containerfile", "Dockerfile", "dockerfile"}

// addContext finds the context and the Dockerfile.
func (r *Request) addContext() error {
	from := r.opts.Context
	if from == "" {
		from = "."
	}
	if info, err := os.Stat(from); from != "-" && err == nil && info.IsDir() {
		if err := r.local(contextDir, from); err != nil {
			return err
		}
		r.Solve.SharedKey = filepath.Base(r.Dirs[contextDir])
		return r.addDockerfile(from)
	}
	switch {
	case from == "-":
		return r.addStdin()
	case isRemote(from):
		r.set("context", from)
		return r.addRemoteFile()
	case strings.HasSuffix(from, "ockerfile") || strings.HasSuffix(from, "ontainerfile"):
		return invalid("context %q is a file: give it with --file, and a directory as the context", from)
	}
	return invalid("context %q: there is no such directory", from)
}

func isHTTP(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

func isRemote(s string) bool {
	if isHTTP(s) {
		return true
	}
	_, git, err := dfgitutil.ParseGitRef(s)
	return git && err == nil
}

// addStdin takes the context, or a Dockerfile without any, from standard input.
func (r *Request) addStdin() error {
	if len(r.opts.Files) == 1 && r.opts.Files[0] == "-" {
		return errStdinTwice
	}
	const header = 512
	in := bufio.NewReaderSize(r.in, header*2)
	begin, err := in.Peek(header * 2)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the context from standard input: %w", err)
	}
	if len(begin) == 0 {
		return invalid("standard input is empty: a Dockerfile or a tar archive is expected")
	}
	if isArchive(begin) {
		up := uploadprovider.New()
		r.set("context", up.Add(io.NopCloser(in)))
		r.Solve.Session = append(r.Solve.Session, up)
		return r.addRemoteFile()
	}
	if len(r.opts.Files) > 0 {
		return invalid("standard input is no tar archive, and the Dockerfile is given by --file already")
	}
	empty, err := r.temporary()
	if err != nil {
		return err
	}
	if err := r.local(contextDir, empty); err != nil {
		return err
	}
	return r.addFrom(in, "Dockerfile", "")
}

func isArchive(begin []byte) bool {
	return compression.Detect(begin) != compression.None || len(begin) > 262 && bytes.Equal(begin[257:262], []byte("ustar"))
}

// addRemoteFile names the Dockerfile of a context that is not a directory here.
func (r *Request) addRemoteFile() error {
	switch len(r.opts.Files) {
	case 0:
		return nil
	case 1:
	default:
		return invalid("several Dockerfiles (--file) need a directory as the context")
	}
	name := r.opts.Files[0]
	if name == "-" || isHTTP(name) || filepath.IsAbs(name) {
		return r.addDockerfile("")
	}
	r.set("filename", name)
	return nil
}

// addDockerfile finds the Dockerfile of a context in the directory dir.
func (r *Request) addDockerfile(dir string) error {
	ignore, err := r.ignoreFile(dir)
	if err != nil {
		return err
	}
	if len(r.opts.Files) == 0 {
		name, err := defaultFile(dir)
		if err != nil {
			return err
		}
		return r.useFile(filepath.Join(dir, name), ignore)
	}
	if len(r.opts.Files) == 1 && r.opts.Files[0] != "-" && !isHTTP(r.opts.Files[0]) {
		path, err := findFile(r.opts.Files[0], dir)
		if err != nil {
			return err
		}
		return r.useFile(path, ignore)
	}
	var all bytes.Buffer
	for _, name := range r.opts.Files {
		if err := r.readFile(&all, name, dir); err != nil {
			return err
		}
	}
	return r.addFrom(&all, "Dockerfile", ignore)
}

// ignoreFile is an ignore file with another name than BuildKit's frontend looks for.
func (r *Request) ignoreFile(dir string) (string, error) {
	if f := r.opts.IgnoreFile; f != "" {
		if _, err := os.Stat(f); err != nil {
			return "", fmt.Errorf("--ignorefile: %w", err)
		}
		return f, nil
	}
	f := filepath.Join(dir, ".containerignore")
	if _, err := os.Stat(f); dir != "" && err == nil {
		return f, nil
	}
	return "", nil
}

func defaultFile(dir string) (string, error) {
	for _, name := range fileNames {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return name, nil
		}
	}
	return "", invalid("no Containerfile or Dockerfile in %s (give one with --file)", dir)
}

// findFile finds a Dockerfile from where the user is, else in the context.
func findFile(name, dir string) (string, error) {
	info, err := os.Stat(name)
	if err != nil && dir != "" && !filepath.IsAbs(name) {
		if inside, err := os.Stat(filepath.Join(dir, name)); err == nil {
			name, info = filepath.Join(dir, name), inside
		}
	}
	switch {
	case info == nil:
		return "", invalid("--file %s: there is no such file", name)
	case info.IsDir():
		return "", invalid("--file %s is a directory", name)
	}
	return name, nil
}

// useFile makes a file the Dockerfile. It is read where it lies, unless another ignore file belongs to it.
func (r *Request) useFile(path, ignore string) error {
	if ignore == "" {
		r.set("filename", filepath.Base(path))
		return r.local(dockerfileDir, filepath.Dir(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.addFrom(f, filepath.Base(path), ignore)
}

// maxFile bounds a Dockerfile that comes over the network or standard input.
const maxFile = 16 << 20

// addFrom makes what in holds the Dockerfile.
func (r *Request) addFrom(in io.Reader, name, ignore string) error {
	dir, err := r.temporary()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return fmt.Errorf("read the Dockerfile: %w", err)
	}
	if len(data) > maxFile {
		return invalid("the Dockerfile is larger than %d MiB", maxFile>>20)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		return err
	}
	if ignore != "" {
		data, err := os.ReadFile(ignore)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".dockerignore"), data, 0o600); err != nil {
			return err
		}
	}
	r.set("filename", name)
	r.set("dockerfilekey", dockerfileDir)
	return r.local(dockerfileDir, dir)
}

// readFile appends a Dockerfile to others.
func (r *Request) readFile(to *bytes.Buffer, name, dir string) error {
	var from io.Reader
	switch {
	case name == "-":
		from = r.in
	case isHTTP(name):
		res, err := download(name)
		if err != nil {
			return fmt.Errorf("--file %s: %w", name, err)
		}
		defer res.Close()
		from = res
	default:
		path, err := findFile(name, dir)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	if _, err := io.Copy(to, io.LimitReader(from, maxFile+1)); err != nil {
		return fmt.Errorf("--file %s: %w", name, err)
	}
	if b := to.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		to.WriteByte('\n')
	}
	return nil
}

func download(url string) (io.ReadCloser, error) {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience) // a Dockerfile is small; nobody waits longer for one
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server says %s", res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxFile+1))
	return io.NopCloser(bytes.NewReader(data)), err
}

// addContexts names further contexts.
func (r *Request) addContexts() error {
	for name, from := range r.opts.Contexts {
		if err := r.addNamed(name, from); err != nil {
			return err
		}
	}
	return nil
}

const ociLayout = "oci-layout://"

func (r *Request) addNamed(name, from string) error {
	switch {
	case strings.HasPrefix(from, "docker://"): // as Podman's users write it
		r.set("context:"+name, "docker-image://"+strings.TrimPrefix(from, "docker://"))
		return nil
	case strings.HasPrefix(from, "container-image://"):
		r.set("context:"+name, "docker-image://"+strings.TrimPrefix(from, "container-image://"))
		return nil
	case strings.HasPrefix(from, ociLayout):
		return r.addLayout(name, from)
	case strings.HasPrefix(from, "docker-image://"), isRemote(from):
		r.set("context:"+name, from)
		return nil
	}
	info, err := os.Stat(from)
	if err != nil || !info.IsDir() {
		return invalid("--build-context %s=%s: there is no such directory, and it is no URL, docker-image:// or oci-layout://", name, from)
	}
	local := name
	if name == contextDir || name == dockerfileDir {
		local = "_" + name
	}
	r.set("context:"+name, "local:"+local)
	return r.local(local, from)
}

// addLayout is a context from a directory in the layout of OCI images: oci-layout://PATH[:TAG][@DIGEST].
func (r *Request) addLayout(name, from string) error {
	path, pinned, _ := strings.Cut(strings.TrimPrefix(from, ociLayout), "@")
	tag := ""
	if _, err := os.Stat(path); err != nil {
		if at := strings.LastIndexByte(path, ':'); at > strings.LastIndexByte(path, '/') {
			path, tag = path[:at], path[at+1:]
		}
	}
	id, err := layoutDigest(path, tag, pinned)
	if err != nil {
		return fmt.Errorf("--build-context %s=%s: %w", name, from, err)
	}
	store, err := local.NewStore(path)
	if err != nil {
		return fmt.Errorf("--build-context %s=%s: %w", name, from, err)
	}
	if r.Solve.OCIStores == nil {
		r.Solve.OCIStores = map[string]content.Store{}
	}
	key := identity.NewID()
	r.Solve.OCIStores[key] = store
	r.set("context:"+name, ociLayout+key+"@"+id.String())
	return nil
}

func layoutDigest(path, tag, pinned string) (digest.Digest, error) {
	if pinned != "" {
		return digest.Parse(pinned)
	}
	index := ociindex.NewStoreIndex(path)
	if tag != "" {
		if d, err := index.Get(tag); err != nil || d != nil {
			return d.Digest, err
		}
		return "", fmt.Errorf("no image %q in it", tag)
	}
	if d, err := index.Get("latest"); err == nil && d != nil {
		return d.Digest, nil
	}
	d, err := index.GetSingle()
	if err != nil {
		return "", err
	}
	if d == nil {
		return "", errors.New("it has not exactly one image (name one with :TAG or @DIGEST)")
	}
	return d.Digest, nil
}
