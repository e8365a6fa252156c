package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// container writes the record of one that stands on the image.
func (f *fixture) container(id, name, image string, running bool) {
	f.write("data/containers/"+id+"/config.json", fmt.Sprintf(`{"ID":%q,"Name":%q,"Image":{"ID":%q,"Layers":["l"]}}`, id, name, image))
	if !running {
		return
	}
	start, err := procs.StartTime(os.Getpid())
	f.noError(err)
	boot, err := procs.BootID()
	f.noError(err)
	f.write("run/c/"+id+"/live.json", fmt.Sprintf(`{"Pid":%d,"PidStart":%d,"BootID":%q}`, os.Getpid(), start, boot))
}

func exitOf(err error) int {
	var exit *errdefs.ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return errdefs.ExitCode(err)
}

func TestRemoveByNameAndID(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	id := f.imported("a", "1")
	f.noError(f.Tag(ctx, "a", []string{"b:2"}))
	err := f.Remove(ctx, id[:12], option.Remove{})
	f.failsWith(err, errdefs.ErrInUse, "a:latest", "b:2", "--force")
	f.noError(f.Remove(ctx, "a", option.Remove{}))
	if got := f.out.String(); got != "Untagged: a:latest\n" {
		t.Errorf("%q", got)
	}
	f.out.Reset()
	f.noError(f.Remove(ctx, "b:2", option.Remove{}))
	if got := f.out.String(); got != "Untagged: b:2\nDeleted: sha256:"+id+"\n" {
		t.Errorf("%q", got)
	}
	err = f.Remove(ctx, "b:2", option.Remove{})
	f.failsWith(err, errdefs.ErrNotFound, "b:2")
	if exitOf(err) != exitNoImage {
		t.Errorf("exit %d", exitOf(err))
	}
	f.noError(f.Remove(ctx, "b:2", option.Remove{Ignore: true}))
	f.sound()
}

func TestIsLastName(t *testing.T) {
	const tag, other, digest, foreign = "quay.io/a:1", "quay.io/a:2", "quay.io/a@sha256:x", "quay.io/b@sha256:x"
	for _, c := range []struct {
		names []string
		want  bool
	}{{[]string{tag}, true}, {[]string{tag, digest}, true}, {[]string{tag, other}, false}, {[]string{digest, tag, foreign}, false}} {
		if got := isLastName(c.names, tag); got != c.want {
			t.Errorf("%v: %v", c.names, got)
		}
	}
}

// TestRemoveTakesMappedCopiesAlong: they go with the last image that has the layer.
func TestRemoveTakesMappedCopiesAlong(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.imported("a", "1")
	f.imported("b", "1", "ENV X=1")
	img, err := f.lookup(ctx, "a")
	f.noError(err)
	mapped := "data/mapped/" + img.TopLayer()
	f.write(mapped+"/key/file", "x")
	f.noError(f.Remove(ctx, "a", option.Remove{}))
	if _, err := os.Stat(f.path(mapped)); err != nil {
		t.Error("gone, though another image has the layer")
	}
	f.noError(f.Remove(ctx, "b", option.Remove{}))
	if _, err := os.Stat(f.path(mapped)); err == nil {
		t.Error("still there")
	}
}

func TestRemoveForcedByID(t *testing.T) {
	f := newFixture(t)
	id := f.imported("a", "1")
	f.noError(f.Tag(context.Background(), "a", []string{"b"}))
	f.noError(f.Remove(context.Background(), id, option.Remove{Force: true}))
	if strings.Count(f.out.String(), "Untagged: ") != 2 || !strings.Contains(f.out.String(), "Deleted: sha256:"+id) {
		t.Errorf("%q", f.out)
	}
}

func TestRemoveInUse(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	id := f.imported("a", "1")
	f.container("c1", "web", id, false)
	f.write("data/containers/broken/config.json", `{"ID":`)
	f.write("data/containers/empty/other", "")
	err := f.Remove(ctx, "a", option.Remove{})
	f.failsWith(err, errdefs.ErrInUse, "web", "--force")
	if exitOf(err) != exitImageInUse {
		t.Errorf("exit %d", exitOf(err))
	}
	f.write("data/containers/c1/state.json", `{"Name":"renamed"}`)
	f.failsWith(f.Remove(ctx, "a", option.Remove{}), errdefs.ErrInUse, "renamed")

	f.noError(f.Remove(ctx, "a", option.Remove{Force: true}))
	img, err := f.lookup(ctx, id)
	f.noError(err)
	if len(img.Names) != 0 {
		t.Errorf("names left: %v", img.Names)
	}
	f.noError(os.RemoveAll(f.path("data/containers/c1")))
	f.noError(f.Remove(ctx, id, option.Remove{}))
	f.sound()
}

func TestRemoveOfARunningContainersImage(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	id := f.imported("a", "1")
	f.container("c1", "web", id, true)
	for _, opts := range []option.Remove{{}, {Force: true}} {
		f.failsWith(f.Remove(ctx, "a", opts), errdefs.ErrInUse, "running container web")
	}
	f.noError(f.Tag(ctx, "a", []string{"b"}))
	f.noError(f.Remove(ctx, "a", option.Remove{})) // only a name
	f.failsWith(f.RemoveAll(ctx, option.Remove{Force: true}), errdefs.ErrInUse)
}

func TestPrune(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	used, dangling, named := f.imported("used", "1"), f.imported("", "22"), f.imported("named", "3", "LABEL keep=yes")
	unnamed := f.imported("", "4444")
	f.container("c1", "web", used, false)
	f.container("c2", "db", unnamed, false)
	pruned, err := f.Prune(ctx, option.Prune{})
	f.noError(err)
	if len(pruned.Images) != 1 || pruned.Images[0] != dangling || pruned.Reclaimed <= 0 {
		t.Errorf("%+v", pruned)
	}
	pruned, err = f.Prune(ctx, option.Prune{All: true, Filters: []string{"label!=keep"}})
	f.noError(err)
	if len(pruned.Images) != 0 {
		t.Errorf("%+v", pruned)
	}
	pruned, err = f.Prune(ctx, option.Prune{All: true, Filters: []string{"until=1h"}})
	f.noError(err)
	if len(pruned.Images) != 0 {
		t.Errorf("%+v", pruned)
	}
	pruned, err = f.Prune(ctx, option.Prune{All: true})
	f.noError(err)
	if len(pruned.Images) != 1 || pruned.Images[0] != named {
		t.Errorf("%+v", pruned)
	}
	_, err = f.Prune(ctx, option.Prune{Filters: []string{"colour=red"}})
	f.failsWith(err, errdefs.ErrInvalid, "colour")
	f.sound()
}

// TestPruneCollectsLayersOfKilledPulls: a layer without an image goes, but not while somebody may be pulling, and
// not one that a container needs.
func TestPruneCollectsLayersOfKilledPulls(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	f.imported("keep", "1")
	lower, err := f.store.CreateLayer("", "", nil, "", false, nil)
	f.noError(err)
	_, err = f.store.CreateLayer("", lower.ID, nil, "", false, nil)
	f.noError(err)
	other, err := Open(f.cfg)
	f.noError(err)
	_, err = f.Prune(ctx, option.Prune{})
	f.noError(err)
	if n := layerCount(t, f.store); n != 3 {
		t.Errorf("%d layers while another session is open", n)
	}
	f.noError(other.Close())
	_, err = f.Prune(ctx, option.Prune{})
	f.noError(err)
	if n := layerCount(t, f.store); n != 1 {
		t.Errorf("%d layers after prune", n)
	}
	f.sound()
}

func layerCount(t *testing.T, s storage.Store) int {
	t.Helper()
	layers, err := s.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return len(layers)
}

// TestRemoveWaitsForCreators: while somebody creates a container, no image goes away.
func TestRemoveWaitsForCreators(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	id := f.imported("a", "1")
	created := make(chan struct{})
	go func() {
		f.names.WithImagesShared(ctx, func() error {
			close(created)
			time.Sleep(50 * time.Millisecond)
			f.container("c1", "web", id, false)
			return nil
		})
	}()
	<-created
	f.failsWith(f.Remove(ctx, "a", option.Remove{}), errdefs.ErrInUse, "web")
}
