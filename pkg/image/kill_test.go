package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containers/storage"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/layout"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// A victim is this test binary as a child that does one verb and may be killed meanwhile.
const (
	envVerb = "_IMAGE_TEST_VERB"
	envArg  = "_IMAGE_TEST_ARG"
	envDir  = "_IMAGE_TEST_DIR"
)

func victim(verb string) int {
	dir, arg := os.Getenv(envDir), os.Getenv(envArg)
	s, err := Open(Config{
		Dirs:   layout.Dirs{Data: filepath.Join(dir, "data"), Run: filepath.Join(dir, "run")},
		Driver: testDriver(), Out: os.Stdout, Err: os.Stderr, In: os.Stdin, Getenv: os.Getenv,
	})
	if err == nil {
		err = doVerb(s, verb, arg)
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, verb, err)
		return 1
	}
	return 0
}

func doVerb(s *Session, verb, arg string) error {
	ctx := context.Background()
	var err error
	switch verb {
	case "pull":
		_, err = s.Pull(ctx, arg, option.Pull{Quiet: true})
	case "load":
		_, err = s.Load(ctx, option.Load{Input: arg, Quiet: true})
	case "import":
		_, err = s.Import(ctx, arg, "imported:1", option.Import{})
	case "rmi":
		err = s.Remove(ctx, arg, option.Remove{Ignore: true})
	case "prune":
		_, err = s.Prune(ctx, option.Prune{All: true})
	case "save":
		err = s.Save(ctx, []string{arg}, option.Save{Output: filepath.Join(os.Getenv(envDir), "saved.tar"), Quiet: true})
	}
	return err
}

func (f *fixture) victim(verb, arg string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), envVerb+"="+verb, envArg+"="+arg, envDir+"="+f.dir), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// subjects prepares an image in a registry and one in an archive, of several layers.
func (f *fixture) subjects() (ref, archive, tar string) {
	r := fake.Start(f.t, fake.Options{})
	ref = r.Host + "/app:1"
	parsed, err := name.ParseReference(ref, name.Insecure)
	f.noError(err)
	img, err := random.Image(300_000, 6)
	f.noError(err)
	f.noError(remote.Write(parsed, img))
	archive = f.path("archive.tar")
	_, err = f.pull(ref, option.Pull{Quiet: true})
	f.noError(err)
	f.noError(f.Tag(context.Background(), ref, []string{"archived:1"}))
	f.noError(f.Remove(context.Background(), ref, option.Remove{}))
	f.noError(f.Save(context.Background(), []string{"archived:1"}, option.Save{Output: archive, Quiet: true}))
	tar = f.path("root.tar")
	writeFile(f.t, tar, tarOf(f.t, map[string]string{"a": string(make([]byte, 1<<20))}))
	return ref, archive, tar
}

// TestKilledAtAnyTime: whenever a verb is killed, every image that is there is whole, the store is sound, the next
// verb works, and nothing is left over.
func TestKilledAtAnyTime(t *testing.T) {
	f := newFixture(t)
	ref, archive, tar := f.subjects()
	rounds := 40
	if testing.Short() {
		rounds = 6
	}
	verbs := [][2]string{{"pull", ref}, {"rmi", ref}, {"load", archive}, {"rmi", "archived:1"}, {"import", tar}, {"rmi", "imported:1"}, {"prune", ""}}
	f.noError(f.Close())
	f.store.Shutdown(true)
	for i := range rounds {
		for _, v := range verbs {
			cmd := f.victim(v[0], v[1])
			cmd.Stderr = nil // a killed one's
			f.noError(cmd.Start())
			time.Sleep(time.Duration(rand.IntN(70_000)) * time.Microsecond)
			cmd.Process.Kill()
			cmd.Wait()
		}
		if i%10 == 9 {
			f.survivesAll(verbs)
		}
	}
	f.survivesAll(verbs)
}

// TestVerbsSideBySide: what one process removes another may be bringing in at that moment; none of them fails.
func TestVerbsSideBySide(t *testing.T) {
	f := newFixture(t)
	ref, archive, tar := f.subjects()
	verbs := [][2]string{{"pull", ref}, {"load", archive}, {"prune", ""}, {"pull", ref}, {"rmi", ref}, {"import", tar}, {"prune", ""}}
	f.noError(f.Close())
	f.store.Shutdown(true)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for j := range 8 {
				v := verbs[(i+j)%len(verbs)]
				cmd := f.victim(v[0], v[1])
				var said bytes.Buffer
				cmd.Stderr = &said
				if err := cmd.Run(); err != nil {
					t.Errorf("%v: %v %s", v, err, &said)
				}
			}
		})
	}
	wg.Wait()
	f.survivesAll(append(verbs, [2]string{"prune", ""}))
}

// TestKilledWhileProbing: what containers/storage left of trying the kernel's overlay is swept by the next session.
func TestKilledWhileProbing(t *testing.T) {
	f := newFixture(t)
	f.noError(f.Close())
	f.noError(os.Mkdir(f.path("data/tmp/s-killed"), 0o700))
	for _, probe := range []string{"opaque-bug-check1", "metacopy-check2", "volatile-check3", "compat4"} {
		f.noError(os.MkdirAll(f.path("data/storage/overlay/"+probe+"/work/work"), 0o700))
	}
	f.fresh()
	defer f.Close()
	f.sound()
	f.noLeftovers()
}

// survivesAll runs every verb to its end and looks at the store after it.
func (f *fixture) survivesAll(verbs [][2]string) {
	f.t.Helper()
	for _, v := range verbs {
		if out, err := f.victim(v[0], v[1]).Output(); err != nil {
			f.t.Fatalf("%v after a kill: %v %s", v, err, out)
		}
		f.fresh()
		f.sound()
		f.noError(f.Close())
	}
	f.fresh()
	defer f.Close()
	images, err := f.names.Images(context.Background())
	f.noError(err)
	if n := layerCount(f.t, f.store); len(images) > 0 || n > 0 {
		f.t.Errorf("%d images and %d layers are left after prune", len(images), n)
	}
	f.noLeftovers()
}

// fresh opens the store as a new process would.
func (f *fixture) fresh() {
	f.t.Helper()
	f.store.Shutdown(true)
	f.reopen()
}

// noLeftovers looks for files that belong to nothing.
func (f *fixture) noLeftovers() {
	f.t.Helper()
	// Beside l and tempdirs there is a marker of the mount program. The open session has its work directory.
	for pattern, most := range map[string]int{"data/tmp/*": 1, "data/storage/overlay/*": 3, "data/storage/overlay/tempdirs/*": 0, "data/storage/overlay/l/*": 0,
		"data/storage/overlay-layers/tmp/*": 0, "data/storage/overlay-images/*": 2} {
		if found, _ := filepath.Glob(f.path(pattern)); len(found) > most {
			f.t.Errorf("left over: %v", found)
		}
	}
}

// TestKilledAtEachStep needs the fault points compiled in.
func TestKilledAtEachStep(t *testing.T) {
	if !faultsBuilt() {
		t.Skip("built without the tag faultpoint")
	}
	f := newFixture(t)
	ref, archive, tar := f.subjects()
	verbs := [][2]string{{"pull", ref}, {"rmi", ref}, {"load", archive}, {"rmi", "archived:1"}, {"import", tar}, {"rmi", "imported:1"}, {"prune", ""}}
	f.noError(f.Close())
	f.store.Shutdown(true)
	for _, c := range [][3]string{
		{"pull", ref, "image.pull.start"}, {"pull", ref, "image.copied"}, {"load", archive, "image.copied"},
		{"import", tar, "image.import.layer"}, {"import", tar, "image.import.created"}, {"save", "archived:1", "image.saved"},
		{"rmi", "archived:1", "image.deleted"},
	} {
		if c[0] == "save" || c[0] == "rmi" {
			if err := f.victim("load", archive).Run(); err != nil {
				t.Fatal(err)
			}
		}
		err := f.victim(c[0], c[1], "WHERRY_FAULT=kill:"+c[2]).Run()
		if err == nil || err.(*exec.ExitError).Success() || err.(*exec.ExitError).ExitCode() != -1 {
			t.Errorf("%v was not killed: %v", c, err)
		}
		if _, err := os.Stat(f.path("saved.tar")); err == nil {
			t.Error("half an archive has its name")
		}
		f.survivesAll(verbs)
	}
}

// faultsBuilt asks a fault point.
func faultsBuilt() bool {
	os.Setenv("WHERRY_FAULT", "eio:image.test")
	defer os.Unsetenv("WHERRY_FAULT")
	return faultpoint.Err("image.test") != nil
}

// TestFullDisk: no space is one line that names the fix, and nothing is left.
func TestFullDisk(t *testing.T) {
	f := newFixture(t)
	ref, archive, _ := f.subjects()
	small := f.path("small")
	f.noError(os.Mkdir(small, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", small).Run() })
	cfg := f.cfg
	cfg.Dirs.Data = filepath.Join(small, "data")
	s, err := Open(cfg)
	f.noError(err)
	_, err = s.Pull(context.Background(), ref, option.Pull{Quiet: true, Retry: quickly})
	f.failsWith(err, nil, "no space left", "wherry image prune")
	_, err = s.Load(context.Background(), option.Load{Input: archive, Quiet: true})
	f.failsWith(err, nil, "no space left")
	images, err := s.names.Images(context.Background())
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) || len(images) > 0 {
		t.Errorf("%v %v", images, err)
	}
	s.Close()
	s.store.Shutdown(true)
}

// An image that was being recorded when its maker was killed is gone with the next session that finds the maker dead.
func TestHalfRecordedImage(t *testing.T) {
	f := newFixture(t)
	_, _, tar := f.subjects()
	whole, err := f.Import(t.Context(), tar, "whole:1", option.Import{})
	f.noError(err)
	img, err := f.store.CreateImage("", nil, "", "", &storage.ImageOptions{Digest: digest.FromString("a manifest that is not there")})
	f.noError(err)
	f.noError(f.collectFiles())
	if _, err := f.store.Image(img.ID); !errors.Is(err, storage.ErrImageUnknown) {
		t.Errorf("half an image: %v", err)
	}
	if _, err := f.store.Image(whole); err != nil {
		t.Errorf("a whole one: %v", err)
	}
}
