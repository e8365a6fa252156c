package image

import (
	"context"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker/reference"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// A list of two platforms goes to a registry with its images; each machine pulls its own from it.
func TestManifestThroughRegistry(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	r := fake.Start(t, fake.Options{})
	arm := f.imported("arm:1", "for arm")
	intel := f.pushed(r.Host+"/intel:1", "for intel", access.Options{})
	list := r.Host + "/both:1"
	_, err := f.ManifestCreate(ctx, list, []string{"arm:1"}, option.ManifestCreate{})
	f.noError(err)
	_, _, err = f.ManifestAdd(ctx, list, []string{r.Host + "/intel:1"}, option.ManifestAdd{Instance: option.Instance{Platform: option.Platform{OS: "linux", Arch: "amd64"}}})
	f.noError(err)
	_, err = f.ManifestAnnotate(ctx, list, "arm:1", option.ManifestAnnotate{Instance: option.Instance{Platform: option.Platform{OS: "linux", Arch: "arm64"}}})
	f.noError(err)
	digest, err := f.ManifestPush(ctx, list, "", option.ManifestPush{All: true, Remove: true})
	f.noError(err)
	if there, err := f.ManifestExists(list); there || err != nil {
		t.Errorf("after --rm: %v %v", there, err)
	}
	seen, err := f.ManifestInspect(ctx, list, access.Options{})
	f.noError(err)
	if !strings.Contains(string(seen), `"arm64"`) || !strings.Contains(string(seen), `"amd64"`) {
		t.Errorf("in the registry: %s", seen)
	}
	named, err := reference.WithDigest(mustNamed(r.Host+"/both"), digest)
	f.noError(err)
	for platform, want := range map[string]string{"arm64": arm, "amd64": intel} {
		for _, ref := range []string{list, named.String()} {
			got, err := f.pull(ref, option.Pull{Platform: option.Platform{OS: "linux", Arch: platform}})
			f.noError(err)
			if got != want {
				t.Errorf("%s of %s: %s, want %s", platform, ref, got, want)
			}
		}
	}
	_, err = f.ManifestCreate(ctx, "x", []string{r.Host + "/none:1"}, option.ManifestCreate{})
	f.failsWith(err, errdefs.ErrNotFound, "none")
	_, err = f.ManifestPush(ctx, "arm:1", "", option.ManifestPush{})
	f.failsWith(err, errdefs.ErrInvalid, "not a manifest list")
	f.sound()
}
