package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// download is a file from the web.
type download struct {
	url      string
	checksum digest.Digest
	filename string
	perm     os.FileMode
	uid, gid int
	secret   string // name of the secret with the Authorization header
	header   http.Header
}

func newDownload(rawURL string, attrs map[string]string) (Source, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return nil, errdefs.New(errdefs.ErrInvalid, "%q is no URL", rawURL)
	}
	d := &download{url: rawURL, perm: 0o600, header: http.Header{"User-Agent": {"wherry"}}}
	for key, value := range attrs {
		if err := d.set(key, value); err != nil {
			return nil, fmt.Errorf("source %s: attribute %s: %w", u.Redacted(), key, err)
		}
	}
	return d, nil
}

func (d *download) set(key, value string) error {
	number := func(to *int) error {
		n, err := strconv.ParseInt(value, 0, 32)
		*to = int(n)
		return err
	}
	switch key {
	case pb.AttrHTTPChecksum:
		sum, err := digest.Parse(value)
		d.checksum = sum
		return err
	case pb.AttrHTTPFilename:
		d.filename = value
	case pb.AttrHTTPPerm:
		n, err := strconv.ParseInt(value, 0, 32)
		d.perm = os.FileMode(n) & 0o777
		return err
	case pb.AttrHTTPUID:
		return number(&d.uid)
	case pb.AttrHTTPGID:
		return number(&d.gid)
	case pb.AttrHTTPAuthHeaderSecret:
		d.secret = value
	case pb.AttrHTTPSignatureVerify, pb.AttrHTTPSignatureVerifyPubKey:
		return errdefs.New(errdefs.ErrUnsupported, "signatures of downloads are not supported (demand a checksum)")
	default:
		if name, ok := strings.CutPrefix(key, pb.AttrHTTPHeaderPrefix); ok {
			switch name = http.CanonicalHeaderKey(name); name {
			case "Accept", "User-Agent": // the only ones that BuildKit sends
				d.header.Set(name, value)
			}
		}
	}
	return nil
}

// Name leaves a password in the URL out.
func (d *download) Name() string {
	u, err := url.Parse(d.url)
	if err != nil {
		return "http download"
	}
	return u.Redacted()
}

// arrived is what is remembered of a URL. Data lies beside it, named by its digest.
type arrived struct {
	Digest       digest.Digest
	ETag         string
	LastModified string
	Filename     string
}

// Key needs no network where a checksum is demanded. Else the server is asked whether what came last time still holds;
// one that cannot say so has to send it again.
func (d *download) Key(ctx context.Context, env *Env) (digest.Digest, string, error) {
	if d.checksum != "" && d.filename != "" {
		return d.key(arrived{Digest: d.checksum, Filename: d.filename}), string(d.checksum), nil
	}
	a, err := d.fetch(ctx, env)
	if err != nil {
		return "", "", err
	}
	return d.key(a), string(a.Digest), nil
}

// key is of all that the tree shows but the time of the file.
func (d *download) key(a arrived) digest.Digest {
	return digest.FromString(fmt.Sprintf("http %s %q %o %d %d", a.Digest, d.nameOf(a), d.perm, d.uid, d.gid))
}

// nameOf is the file's name. No server may choose one that leads elsewhere.
func (d *download) nameOf(a arrived) string {
	for _, name := range []string{d.filename, a.Filename, path.Base(d.path())} {
		if name = path.Base(path.Clean("/" + name)); name != "/" && name != "." && name != ".." && !strings.ContainsRune(name, 0) {
			return name
		}
	}
	return "download"
}

func (d *download) path() string {
	u, err := url.Parse(d.url)
	if err != nil {
		return ""
	}
	return u.Path
}

// Fetch makes a directory with the file.
func (d *download) Fetch(ctx context.Context, env *Env) (*tree.Tree, error) {
	a, err := d.fetch(ctx, env)
	if err != nil {
		return nil, err
	}
	key := d.key(a)
	dir := filepath.Join(env.work("http-trees"), digest.FromString(string(key) + a.LastModified).Encoded()[:32])
	t := &tree.Tree{Dir: dir, Pin: string(a.Digest)}
	if ok, err := env.kept(dir); ok || err != nil {
		return t, err
	}
	return t, env.keep(dir, func(tmp string) error { return d.place(env, a, filepath.Join(tmp, d.nameOf(a))) })
}

// place copies what arrived to the file that is shown.
func (d *download) place(env *Env, a arrived, to string) error {
	in, err := os.Open(d.data(env, a))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
	if err := out.Chown(d.uid, d.gid); err != nil {
		return err
	}
	if err := out.Chmod(d.perm); err != nil {
		return err
	}
	at := time.Unix(0, 0) // as in BuildKit where the server does not say
	if t, err := http.ParseTime(a.LastModified); err == nil {
		at = t
	}
	return os.Chtimes(to, at, at)
}

func (d *download) metadata(ctx context.Context, env *Env, opt *sourceresolver.ResolveHTTPOpt) (*sourceresolver.ResolveHTTPResponse, error) {
	if opt != nil && opt.ChecksumReq != nil {
		return nil, errdefs.New(errdefs.ErrUnsupported, "%s: other checksums cannot be asked for", d.Name())
	}
	a, err := d.fetch(ctx, env)
	if err != nil {
		return nil, err
	}
	res := &sourceresolver.ResolveHTTPResponse{Digest: a.Digest, Filename: d.nameOf(a)}
	if t, err := http.ParseTime(a.LastModified); err == nil {
		res.LastModified = &t
	}
	return res, nil
}

// dir is the place of what arrived from the URL, under the conditions that may change what a server sends.
func (d *download) dir(env *Env) string {
	sum := sha256.Sum256([]byte(d.url + "\n" + d.secret + "\n" + d.header.Get("Accept") + "\n" + d.header.Get("User-Agent")))
	return filepath.Join(env.work("http"), hex.EncodeToString(sum[:16]))
}

func (d *download) data(env *Env, a arrived) string {
	return filepath.Join(d.dir(env), a.Digest.Encoded())
}

// fetch sees to it that the present content is here.
func (d *download) fetch(ctx context.Context, env *Env) (a arrived, err error) {
	dir := d.dir(env)
	memo := "http " + dir
	if v, ok := env.recall(memo); ok {
		return v.(arrived), nil
	}
	sweep(filepath.Dir(dir))
	err = buildcache.Locked(ctx, env.Dirs, "http-"+filepath.Base(dir), func() error {
		if _, err := env.claimShared(dir); err != nil {
			return err
		}
		about(dir, d.Name())
		a, err = d.renew(ctx, env, d.last(env))
		return err
	})
	if err == nil {
		env.note(memo, a)
	}
	return a, err
}

// last is what came last time, or nothing.
func (d *download) last(env *Env) (a arrived) {
	data, err := os.ReadFile(filepath.Join(d.dir(env), "arrived.json"))
	if err != nil || json.Unmarshal(data, &a) != nil || a.Digest.Validate() != nil {
		return arrived{}
	}
	if _, err := os.Lstat(d.data(env, a)); err != nil {
		return arrived{}
	}
	return a
}

// renew asks the server, and takes what it sends if something else is there now.
func (d *download) renew(ctx context.Context, env *Env, last arrived) (arrived, error) {
	if d.checksum != "" && last.Digest == d.checksum {
		return last, nil
	}
	if u := d.uploadURL(); u != nil {
		a, err := d.takeUpload(ctx, env, u)
		if err != nil {
			return arrived{}, err
		}
		return a, d.remember(env, last, a)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return arrived{}, errdefs.New(errdefs.ErrInvalid, "%s: %v", d.Name(), err)
	}
	req.Header = d.header.Clone()
	if err := d.authorize(ctx, env, req); err != nil {
		return arrived{}, err
	}
	if last.ETag != "" {
		req.Header.Set("If-None-Match", last.ETag)
	} else if last.LastModified != "" {
		req.Header.Set("If-Modified-Since", last.LastModified)
	}
	resp, err := webClient().Do(req)
	if err != nil {
		return arrived{}, d.fault(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && last.Digest != "":
		return last, nil
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		return arrived{}, errdefs.New(errdefs.ErrNotFound, "%s: the server answers %s", d.Name(), resp.Status)
	}
	a, err := d.receive(ctx, env, resp)
	if err != nil {
		return arrived{}, err
	}
	return a, d.remember(env, last, a)
}

// fault is an error of a request without what its URL may hold.
func (d *download) fault(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("download %s: %w", d.Name(), err)
}

func (d *download) authorize(ctx context.Context, env *Env, req *http.Request) error {
	if d.secret != "" {
		value, err := env.secret(ctx, d.secret)
		if err == nil && value == nil {
			err = errdefs.New(errdefs.ErrNotFound, "%s: there is no secret %q for its log-in", d.Name(), d.secret)
		}
		req.Header.Set("Authorization", strings.TrimSpace(string(value)))
		return err
	}
	for _, n := range []struct{ name, prefix string }{{"HTTP_AUTH_HEADER_", ""}, {"HTTP_AUTH_TOKEN_", "Bearer "}} {
		value, err := env.secret(ctx, n.name+req.URL.Hostname())
		if err != nil {
			return err
		}
		if value != nil {
			req.Header.Set("Authorization", n.prefix+strings.TrimSpace(string(value)))
			return nil
		}
	}
	return nil
}

// receive writes what the server sends under its digest.
func (d *download) receive(ctx context.Context, env *Env, resp *http.Response) (arrived, error) {
	a := arrived{ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"), Filename: disposition(resp)}
	if err := enoughSpace(d.dir(env), resp.ContentLength); err != nil {
		return a, fmt.Errorf("download %s: %w", d.Name(), err)
	}
	out, err := os.CreateTemp(d.dir(env), ".part-")
	if err != nil {
		return a, err
	}
	defer os.Remove(out.Name()) // not there any more when all went well
	defer out.Close()
	sum := digest.SHA256
	if d.checksum != "" {
		sum = d.checksum.Algorithm()
	}
	h := sum.Digester()
	if _, err := io.Copy(io.MultiWriter(out, h.Hash(), showBytes(ctx, "downloading "+d.Name(), resp.ContentLength)), resp.Body); err != nil {
		return a, d.fault(err)
	}
	a.Digest = h.Digest()
	if d.checksum != "" && a.Digest != d.checksum {
		return a, errdefs.New(errdefs.ErrInvalid, "%s: its digest is %s, not %s as demanded", d.Name(), a.Digest, d.checksum)
	}
	if err := out.Sync(); err != nil {
		return a, err
	}
	return a, os.Rename(out.Name(), d.data(env, a))
}

// remember writes what is known of the URL, then drops what it had before the last change: somebody may just be about to
// copy the content of before this one.
func (d *download) remember(env *Env, last, now arrived) error {
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(d.dir(env), "arrived.json"), data, 0o600, atomicfile.Ordered); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.dir(env))
	for _, e := range entries {
		switch e.Name() {
		case "arrived.json", buildcache.SourceAbout, now.Digest.Encoded(), encoded(last.Digest):
		default:
			os.Remove(filepath.Join(d.dir(env), e.Name()))
		}
	}
	return err
}

func encoded(d digest.Digest) string {
	if d == "" {
		return ""
	}
	return d.Encoded()
}

// disposition is the file name that the server suggests.
func disposition(resp *http.Response) string {
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}

// enoughSpace refuses what cannot fit before it fills the disk.
func enoughSpace(dir string, size int64) error {
	var fs unix.Statfs_t
	if size > 0 && unix.Statfs(dir, &fs) == nil && uint64(size)/uint64(fs.Bsize) > fs.Bavail {
		return fmt.Errorf("%d bytes: %w", size, unix.ENOSPC)
	}
	return nil
}

// webClient has the bounds that keep a build from waiting for ever.
func webClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	t.DisableCompression = true // what the server has is wanted, byte by byte
	return &http.Client{Transport: t}
}
