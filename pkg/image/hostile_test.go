package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/image/option"
)

func hostileTar(headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.PAXRecords["content"] // how a test gives it
		h.PAXRecords, h.Mode = nil, 0o755
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		w.WriteHeader(&h)
		io.WriteString(w, content)
	}
	w.Close()
	return b.Bytes()
}

func with(name, content string) tar.Header {
	return tar.Header{Name: name, PAXRecords: map[string]string{"content": content}}
}

func link(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}

func jsonOf(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

func configOf(diffIDs ...string) string {
	return jsonOf(map[string]any{"os": "linux", "architecture": runtime.GOARCH, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}})
}

func sum(data []byte) string { return digest.FromBytes(data).String() }

// dockerArchive is what docker save would make of the layers.
func dockerArchive(layers ...[]byte) []byte {
	var ids, files []string
	var all []tar.Header
	for i, layer := range layers {
		file := strings.Repeat("l", i+1) + ".tar"
		ids, files, all = append(ids, sum(layer)), append(files, file), append(all, with(file, string(layer)))
	}
	return dockerArchiveOf(configOf(ids...), files, all...)
}

func dockerArchiveOf(config string, layers []string, files ...tar.Header) []byte {
	manifest := []map[string]any{{"Config": "c.json", "RepoTags": []string{"hostile:1"}, "Layers": layers}}
	return hostileTar(append(files, with("c.json", config), with("manifest.json", jsonOf(manifest)))...)
}

// ociArchive holds one layer; the digests may lie.
func ociArchive(layer []byte, layerDigest, diffID, manifestDigest string) []byte {
	config := configOf(diffID)
	manifest := imgspec.Manifest{MediaType: imgspec.MediaTypeImageManifest,
		Config: imgspec.Descriptor{MediaType: imgspec.MediaTypeImageConfig, Digest: digest.FromString(config), Size: int64(len(config))},
		Layers: []imgspec.Descriptor{{MediaType: imgspec.MediaTypeImageLayer, Digest: digest.Digest(layerDigest), Size: int64(len(layer))}}}
	manifest.SchemaVersion = 2
	text := jsonOf(manifest)
	if manifestDigest == "" {
		manifestDigest = sum([]byte(text))
	}
	return ociArchiveOf(descriptor(manifestDigest), with(blob(layerDigest), string(layer)), with(blob(sum([]byte(config))), config), with(blob(manifestDigest), text))
}

func descriptor(of string) string {
	return `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + of + `","size":9}]}`
}

func ociArchiveOf(index string, files ...tar.Header) []byte {
	return hostileTar(append(files, with("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), with("index.json", index))...)
}

func blob(d string) string { return "blobs/" + strings.Replace(d, ":", "/", 1) }

// nested is an index that names itself, as far as digests let it.
func nested() []byte {
	lie := "sha256:" + strings.Repeat("6", 64)
	index := strings.Replace(descriptor(lie), "image.manifest", "image.index", 1)
	outer := strings.Replace(descriptor(sum([]byte(index))), "image.manifest", "image.index", 1)
	return ociArchiveOf(outer, with(blob(sum([]byte(index))), index), with(blob(lie), index))
}

// Archives that lie, that are no images, or that want to be more than an image. None of them costs memory in
// proportion to what it claims, none leaves an image.
func TestHostileArchives(t *testing.T) {
	f := newFixture(t)
	layer := hostileTar(with("file", "content"))
	lie, deep := "sha256:"+strings.Repeat("1", 64), strings.Repeat("[", 3<<20)
	for name, c := range map[string]struct {
		archive []byte
		says    string
	}{
		"diffid lies":          {dockerArchiveOf(configOf(lie), []string{"l"}, with("l", string(layer))), "Digest did not match"},
		"diffid is a path":     {dockerArchiveOf(configOf("sha256:../../../x"), []string{"l"}, with("l", string(layer))), "invalid digest"},
		"fewer diffids":        {dockerArchiveOf(configOf(sum(layer)), []string{"l", "l"}, with("l", string(layer))), "layer count"},
		"config elsewhere":     {hostileTar(with("manifest.json", `[{"Config":"../../../etc/passwd","RepoTags":["a:1"],"Layers":["../l"]}]`)), "does not exist"},
		"config is null":       {dockerArchiveOf("null", nil), "rootFS is not set"},
		"config is a list":     {dockerArchiveOf("[]", nil), "config"},
		"config is deep":       {dockerArchiveOf(deep, nil), "config"},
		"config is huge":       {dockerArchiveOf(strings.Repeat(" ", 64<<20), nil), "maximum allowed size"},
		"no image":             {hostileTar(with("manifest.json", "[]")), "holds no image"},
		"manifest is null":     {hostileTar(with("manifest.json", "null")), "holds no image"},
		"image is null":        {hostileTar(with("manifest.json", "[null]")), "does not exist"},
		"manifest is huge":     {hostileTar(with("manifest.json", strings.Repeat("[", 64<<20))), "maximum allowed size"},
		"name with escapes":    {hostileTar(with("manifest.json", `[{"Config":"c","RepoTags":["a\u001b[31m:1"],"Layers":[]}]`)), `a\x1b[31m`},
		"oci layer lies":       {ociArchive(layer, lie, sum(layer), ""), "Digest did not match"},
		"oci diffid lies":      {ociArchive(layer, sum(layer), lie, ""), "does not match"},
		"oci manifest lies":    {ociArchive(layer, sum(layer), sum(layer), lie), "not what its digest says"},
		"oci manifest missing": {ociArchiveOf(descriptor(lie)), "not there"},
		"oci digest is a path": {ociArchiveOf(descriptor("sha256:../../../../etc/passwd")), "no digest"},
		"oci index is huge":    {ociArchiveOf(descriptor(lie) + strings.Repeat(" ", 64<<20)), "larger than"},
		"oci manifest is huge": {ociArchiveOf(descriptor(lie), with(blob(lie), strings.Repeat(" ", 64<<20))), "larger than"},
		"oci index in itself":  {nested(), "digest"},
		"oci name":             {ociArchiveOf(strings.Replace(descriptor(lie), `"size"`, `"annotations":{"org.opencontainers.image.ref.name":"a b"},"size"`, 1)), "a b"},
		"oci index is a link":  {hostileTar(with("oci-layout", "{}"), link("index.json", "/etc/passwd")), "no index.json"},
	} {
		f.write("hostile", string(c.archive))
		c.archive = nil
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.Load(context.Background(), option.Load{Input: f.path("hostile"), Quiet: true})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 48<<20 {
			t.Errorf("%s: %d MiB of memory", name, got>>20)
		}
	}
	if images, _ := f.names.Images(context.Background()); len(images) != 0 {
		t.Errorf("loaded: %v", images)
	}
	f.sound()
}

// Layers that want out of the image. What is accepted means places of the image.
func TestHostileLayers(t *testing.T) {
	f := newFixture(t)
	host := f.path("host")
	f.write("host/key", "host secret")
	up := strings.Repeat("../", 30) + strings.TrimPrefix(host, "/")
	base := hostileTar(with("etc/kept", "x"), link("out", host), link("up", up))
	for name, c := range map[string]struct {
		layer  []byte
		loaded bool // as files of the image
	}{
		"parent":             {hostileTar(with(up+"/planted", "x")), true},
		"absolute":           {hostileTar(with(host+"/planted", "x")), true},
		"below a link":       {hostileTar(link("a", host), with("a/planted", "x")), false},
		"below a link of up": {hostileTar(link("a", up), with("a/planted", "x")), false},
		"below another's":    {hostileTar(with("out/planted", "x"), with("up/key", "x")), true},
		"hard link":          {hostileTar(tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: up + "/key"}), false},
		"hard link by link":  {hostileTar(link("a", host), tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "a/key"}), false},
		"device":             {hostileTar(tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, tar.Header{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: 8}), true},
		"whiteout of ..":     {hostileTar(with(".wh...", "")), false},
		"whiteout of x/..":   {hostileTar(with("x/.wh...", "")), false},
		"whiteout by link":   {hostileTar(with("out/.wh.key", ""), with("up/.wh.key", "")), true},
		"opaque by link":     {hostileTar(with("out/.wh..wh..opq", "")), true},
		"opaque own link":    {hostileTar(link("a", host), with("a/.wh..wh..opq", "")), false},
		"whiteout own link":  {hostileTar(link("a", host), with("a/.wh.key", "")), false},
	} {
		f.write("hostile", string(dockerArchive(base, c.layer)))
		names, err := f.Load(context.Background(), option.Load{Input: f.path("hostile"), Quiet: true})
		if c.loaded != (err == nil) {
			t.Errorf("%s: %v %v", name, names, err)
		}
		if data, err := os.ReadFile(filepath.Join(host, "key")); err != nil || string(data) != "host secret" {
			t.Fatalf("%s: the host's file: %q, %v", name, data, err)
		}
		if list, _ := os.ReadDir(host); len(list) != 1 {
			t.Fatalf("%s: the host's directory has %v", name, list)
		}
	}
}

// An OCI archive is unpacked before it is read. A link in it is no way to files of the host, neither to write nor to
// read; load and pull both.
func TestHostileOCIArchiveStaysInside(t *testing.T) {
	f := newFixture(t)
	f.write("host/key", "host secret")
	host := f.path("host")
	for name, archive := range map[string][]byte{
		"directory": ociArchiveOf("{}", link("blobs", host), with("blobs/planted", "x"), with("blobs/sha256/"+strings.Repeat("a", 64), "x")),
		"file":      ociArchiveOf("{}", link("f", host+"/key"), with("f", "x")),
		"parent":    ociArchiveOf("{}", with(strings.Repeat("../", 30)+strings.TrimPrefix(host, "/")+"/planted", "x")),
		"hard link": ociArchiveOf("{}", tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: host + "/key"}, with("h", "x")),
		"device":    ociArchiveOf("{}", tar.Header{Name: "index.json", Typeflag: tar.TypeFifo}),
	} {
		f.write("hostile.tar", string(archive))
		if _, err := f.Load(context.Background(), option.Load{Input: f.path("hostile.tar"), Quiet: true}); err == nil {
			t.Errorf("%s is loaded", name)
		}
		if _, err := f.Pull(context.Background(), "oci-archive:"+f.path("hostile.tar"), option.Pull{Quiet: true}); err == nil {
			t.Errorf("%s is pulled", name)
		}
		data, _ := os.ReadFile(host + "/key")
		if list, _ := os.ReadDir(host); len(list) != 1 || string(data) != "host secret" {
			t.Fatalf("%s: the host's directory has %v, key %q", name, list, data)
		}
	}
}

// Directories of the formats oci and dir that are not what they say, and pipes that nobody writes to.
func TestHostileDirectories(t *testing.T) {
	f := newFixture(t)
	lie := "sha256:" + strings.Repeat("1", 64)
	for name, c := range map[string]struct {
		files map[string]string
		pipe  string
		says  string
	}{
		"oci":       {files: map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": descriptor(lie), blob(lie): "{}"}, says: "not what its digest says"},
		"oci, huge": {files: map[string]string{"index.json": strings.Repeat(" ", 5<<20)}, says: "larger than"},
		"oci, pipe": {files: map[string]string{"oci-layout": "{}"}, pipe: "index.json", says: "is no file"},
		"dir, huge": {files: map[string]string{"manifest.json": strings.Repeat(" ", 5<<20)}, says: "larger than"},
		"dir, pipe": {files: map[string]string{"version": "x"}, pipe: "manifest.json", says: "is no file"},
	} {
		dir := "hostile-" + strings.ReplaceAll(name, ", ", "-")
		for file, content := range c.files {
			f.write(dir+"/"+file, content)
		}
		if c.pipe != "" {
			f.noError(exec.Command("mkfifo", f.path(dir)+"/"+c.pipe).Run())
		}
		_, err := f.Load(context.Background(), option.Load{Input: f.path(dir), Quiet: true})
		f.failsWith(err, nil, c.says)
		_, err = f.Pull(context.Background(), name[:3]+":"+f.path(dir), option.Pull{Quiet: true})
		f.failsWith(err, nil, c.says)
	}
}

// What unpacks to more than the disk holds is an error of one line, costs no memory, and gives the disk back.
func TestBombs(t *testing.T) {
	f := newFixture(t)
	small := f.path("small")
	f.noError(os.Mkdir(small, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", small).Run() })
	bomb, plain := zeros(t, 128<<20)
	sparse := hostileTar(with("index.json", "{}"))
	for name, archive := range map[string][]byte{
		"docker": dockerArchiveOf(configOf(plain), []string{"l"}, with("l", string(bomb))),
		"oci":    ociArchive(bomb, sum(bomb), plain, ""),
		"blob":   slices.Concat(claimed(blob(lieOf("3")), 1<<50), sparse),
	} {
		f.write("bomb.tar", string(archive))
		cfg := f.cfg
		cfg.Dirs.Data = filepath.Join(small, name)
		s, err := Open(cfg)
		f.noError(err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = s.Load(context.Background(), option.Load{Input: f.path("bomb.tar"), Quiet: true})
		runtime.ReadMemStats(&after)
		says := "no space left"
		if name == "blob" {
			says = "sparse"
		}
		f.failsWith(err, nil, says)
		if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
			t.Errorf("%s: %d MiB of memory", name, got>>20)
		}
		s.Close()
		s.store.Shutdown(true)
		f.noError(os.RemoveAll(filepath.Join(cfg.Dirs.Data, "tmp")))
		if out, _ := exec.Command("du", "-sm", small).Output(); !strings.HasPrefix(string(out), "0\t") && !strings.HasPrefix(string(out), "1\t") {
			t.Errorf("%s: left on the disk: %s MiB", name, out)
		}
		f.noError(os.RemoveAll(cfg.Dirs.Data))
	}
}

func lieOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// zeros is a compressed tar of one file of so many zeros, and what its diffid is.
func zeros(t *testing.T, size int64) (packed []byte, diffID string) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	sum := digest.Canonical.Digester()
	w := tar.NewWriter(io.MultiWriter(z, sum.Hash()))
	w.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: size, Typeflag: tar.TypeReg})
	block := make([]byte, 1<<20)
	for range size >> 20 {
		w.Write(block)
	}
	w.Close()
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), sum.Digest().String()
}

// claimed is a sparse entry: some bytes in the archive, any size when it is unpacked.
func claimed(name string, size int64) []byte {
	var b bytes.Buffer
	body := "0\n" // no data at all
	body += strings.Repeat("\x00", 512-len(body))
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		PAXRecords: map[string]string{"XYZ.sparse.major": "1", "XYZ.sparse.minor": "0", "XYZ.sparse.realsize": "1125899906842624", "XYZ.sparse.name": name}}
	w.WriteHeader(h)
	io.WriteString(w, body)
	w.Flush()
	// The writer refuses GNU's own keys; lengths of the records stay what they are.
	return bytes.ReplaceAll(b.Bytes(), []byte(" XYZ.sparse."), []byte(" GNU.sparse."))
}
