package image

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

func TestImportKeepsConfiguration(t *testing.T) {
	f := newFixture(t)
	id := f.imported("web:1", "hello", `CMD ["sh", "-c", "true"]`, "ENV A=1", "WORKDIR srv", "EXPOSE 80", "LABEL k=v", "USER 7:8")
	img, err := f.lookup(context.Background(), "web:1")
	f.noError(err)
	c := img.Config.Config
	if img.ID != id || len(c.Cmd) != 3 || c.WorkingDir != "/srv" || c.User != "7:8" || c.Labels["k"] != "v" || img.Ref != "docker.io/library/web:1" {
		t.Errorf("%+v", img)
	}
	f.sound()
}

func TestImportSharesLayers(t *testing.T) {
	f := newFixture(t)
	a, b := f.imported("a", "same"), f.imported("b", "same", "ENV X=1")
	layers, err := f.store.Layers()
	f.noError(err)
	if a == b || len(layers) != 1 {
		t.Errorf("%s %s with %d layers", a, b, len(layers))
	}
	f.noError(f.Remove(context.Background(), "a", option.Remove{}))
	f.sound()
	if _, err := f.lookup(context.Background(), "b"); err != nil {
		t.Error(err)
	}
}

func TestImportRefuses(t *testing.T) {
	f := newFixture(t)
	f.write("garbage", strings.Repeat("no tar ", 500))
	f.write("empty", "")
	for path, word := range map[string]string{
		f.path("garbage"): "no tar archive", f.path("empty"): "no tar archive", f.path("missing"): "no such file", f.path("home"): "is a directory",
	} {
		_, err := f.Import(context.Background(), path, "x", option.Import{})
		f.failsWith(err, nil, word)
	}
	_, err := f.Import(context.Background(), "-", "Bad", option.Import{})
	f.failsWith(err, errdefs.ErrInvalid, "lower case", `"bad"`)
	_, err = f.Import(context.Background(), "-", "x", option.Import{Changes: []string{"RUN ls"}})
	f.failsWith(err, errdefs.ErrInvalid, "RUN ls", "ENTRYPOINT")
	if images, _ := f.names.Images(context.Background()); len(images) != 0 {
		t.Errorf("half an image: %v", images)
	}
}

func TestSaveAndLoadEveryFormat(t *testing.T) {
	for _, format := range []string{formatDockerArchive, formatOCIArchive, formatOCIDir, formatDockerDir} {
		t.Run(format, func(t *testing.T) {
			ctx := context.Background()
			f := newFixture(t)
			id := f.imported("quay.io/a/b:1", "content of "+format, "ENV A=1")
			out := f.path("saved")
			f.noError(f.Save(ctx, []string{"quay.io/a/b:1"}, option.Save{Output: out, Format: format, Quiet: true}))
			f.noError(f.Remove(ctx, "quay.io/a/b:1", option.Remove{}))
			names, err := f.Load(ctx, option.Load{Input: out, Quiet: true})
			f.noError(err)
			want := "quay.io/a/b:1"
			if format == formatDockerDir { // has no place for a name
				want = "sha256:" + id
			}
			if len(names) != 1 || names[0] != want {
				t.Errorf("loaded %v, want %s", names, want)
			}
			img, err := f.lookup(ctx, id)
			f.noError(err)
			if len(img.Config.Config.Env) != 1 {
				t.Errorf("lost the configuration: %+v", img.Config)
			}
			f.sound()
		})
	}
}

func TestSaveSeveralThroughAStream(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.imported("one", "1")
	f.imported("two:x", "2")
	f.noError(f.Tag(ctx, "one", []string{"uno"}))
	f.noError(f.Save(ctx, []string{"one", "uno", "two:x"}, option.Save{Quiet: true}))
	archive := f.out.Bytes()
	f.noError(f.RemoveAll(ctx, option.Remove{Force: true}))
	f.cfg.In = bytes.NewReader(archive)
	f.noError(f.Close())
	f.reopen()
	names, err := f.Load(ctx, option.Load{Quiet: true})
	f.noError(err)
	if strings.Join(names, " ") != "one:latest uno:latest two:x" {
		t.Errorf("loaded %v", names)
	}
	f.sound()
}

func TestSaveLeavesNothingHalf(t *testing.T) {
	f := newFixture(t)
	err := f.Save(context.Background(), []string{"none"}, option.Save{Output: f.path("x.tar")})
	f.failsWith(err, errdefs.ErrNotFound, "none")
	f.imported("a", "1")
	err = f.Save(context.Background(), []string{"a"}, option.Save{Output: f.path("missing/x.tar")})
	f.failsWith(err, nil, "no such file")
	if left, _ := filepath.Glob(f.path("*.tar")); left != nil {
		t.Errorf("left %v", left)
	}
	err = f.Save(context.Background(), []string{"a"}, option.Save{Output: "/dev/full", Quiet: true})
	f.failsWith(err, syscall.ENOSPC, "/dev/full")
	if strings.Contains(err.Error(), "prune") {
		t.Errorf("pruning frees nothing there: %v", err)
	}
	for _, opts := range []option.Save{{Format: "zip"}, {Format: formatOCIDir}, {Compress: true, Output: "x"}} {
		f.failsWith(f.Save(context.Background(), []string{"a"}, opts), errdefs.ErrInvalid)
	}
	f.failsWith(f.Save(context.Background(), []string{"a", "b"}, option.Save{Format: formatOCIArchive, Output: "x"}), errdefs.ErrInvalid, "one image")
}

func TestLoadRefusesGarbage(t *testing.T) {
	f := newFixture(t)
	f.write("text", "no archive at all, but long enough to look like one")
	f.write("short", "x")
	f.write("root.tar", string(tarOf(t, map[string]string{"etc/passwd": "x"})))
	f.write("manifest.tar", string(tarOf(t, map[string]string{"manifest.json": "[{]"})))
	f.write("index.tar", string(tarOf(t, map[string]string{"index.json": "{}"})))
	f.write("gone.tar", string(tarOf(t, map[string]string{"manifest.json": `[{"Config":"gone.json","RepoTags":["x:1"],"Layers":["a.tar"]}]`})))
	f.write("dir/other", "x")
	for _, name := range []string{"text", "short", "root.tar", "manifest.tar", "index.tar", "gone.tar", "dir", "missing"} {
		_, err := f.Load(context.Background(), option.Load{Input: f.path(name), Quiet: true})
		f.failsWith(err, nil, f.path(name))
	}
	if images, _ := f.names.Images(context.Background()); len(images) != 0 {
		t.Errorf("half an image: %v", images)
	}
	f.sound()
}

func TestTagMovesAName(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	a, b := f.imported("a", "1"), f.imported("b", "2")
	f.noError(f.Tag(ctx, "a", []string{"x", "localhost:5000/y:2"}))
	f.noError(f.Tag(ctx, b, []string{"x"}))
	img, err := f.lookup(ctx, "x")
	f.noError(err)
	if img.ID != b || img.ID == a {
		t.Errorf("x is %s", img.ID)
	}
	f.failsWith(f.Untag(ctx, "b", []string{"a"}), errdefs.ErrNotFound, `no name "a:latest"`)
	f.noError(f.Untag(ctx, "b", nil))
	if img, err := f.lookup(ctx, b); err != nil || len(img.Names) != 0 {
		t.Errorf("%v %v", img, err)
	}
	f.failsWith(f.Tag(ctx, "a", []string{"x@sha256:" + strings.Repeat("a", 64)}), errdefs.ErrInvalid, "digest")
}

func TestWorkDirOfTheDeadIsSwept(t *testing.T) {
	f := newFixture(t)
	f.write("data/tmp/s-dead/big", "x")
	second, err := Open(f.cfg) // the first still lives: nothing is swept
	f.noError(err)
	if _, err := os.Stat(f.path("data/tmp/s-dead")); err != nil {
		t.Error("swept under a living session")
	}
	f.noError(second.Close())
	f.noError(f.Close())
	f.reopen()
	if _, err := os.Stat(f.path("data/tmp/s-dead")); err == nil {
		t.Error("not swept")
	}
}
