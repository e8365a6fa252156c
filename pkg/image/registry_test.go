package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry"
	"github.com/wherry-containers/wherry/pkg/registry/access"
	fake "github.com/wherry-containers/wherry/test/registry"
)

var quickly = option.Retry{Max: 0}

// pushed puts an image into the registry and takes it out of the store.
func (f *fixture) pushed(ref, content string, o access.Options) string {
	f.t.Helper()
	ctx := context.Background()
	id := f.imported(ref, content)
	f.noError(f.Push(ctx, ref, "", option.Push{Options: o, Quiet: true}))
	f.noError(f.Remove(ctx, ref, option.Remove{}))
	return id
}

func (f *fixture) pull(ref string, opts option.Pull) (string, error) {
	ids, err := f.Pull(context.Background(), ref, opts)
	if err != nil {
		return "", err
	}
	return ids[len(ids)-1], nil
}

func TestPushAndPull(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/team/app:1"
	id := f.pushed(ref, "1", access.Options{})
	for _, source := range []string{ref, "docker://" + ref} {
		got, err := f.pull(source, option.Pull{})
		f.noError(err)
		if got != id {
			t.Errorf("pulled %s, pushed %s", got, id)
		}
	}
	if !strings.Contains(f.err.String(), "Trying to pull "+ref) || !strings.Contains(f.err.String(), "Copying blob") {
		t.Errorf("progress: %q", f.err)
	}
	f.sound()
}

func TestPullErrorsNameTheNextStep(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	f.pushed(r.Host+"/app:1", "1", access.Options{})
	verify := true
	for _, c := range []struct {
		ref   string
		opts  option.Pull
		kind  error
		words []string
	}{
		{r.Host + "/app:2", option.Pull{}, errdefs.ErrNotFound, []string{r.Host, `"app"`, "wherry search --list-tags " + r.Host + "/app"}},
		{r.Host + "/app:1", option.Pull{Options: access.Options{TLSVerify: &verify}}, nil, []string{"plain HTTP", "--tls-verify=false"}},
		{r.Host + "/app:1", option.Pull{Platform: option.Platform{OS: "linux", Arch: "s390x"}}, errdefs.ErrNotFound, []string{"linux/s390x", "only for linux/", "--platform"}},
		{"127.0.0.1:1/app:1", option.Pull{}, nil, []string{"127.0.0.1:1", "connection refused"}},
		{"nowhere.invalid/app", option.Pull{}, nil, []string{"cannot find host nowhere.invalid"}},
		{"Upper", option.Pull{}, errdefs.ErrInvalid, []string{"lower case", `"upper"`}},
		{"a b", option.Pull{}, errdefs.ErrInvalid, []string{`"a b"`}},
		{"here", option.Pull{Policy: option.PullNever}, errdefs.ErrNotFound, []string{"here"}},
		{"x", option.Pull{Policy: "sometimes"}, errdefs.ErrInvalid, []string{"sometimes", "newer"}},
		{"oci:/nowhere:x", option.Pull{}, nil, []string{"oci:/nowhere"}},
		{"docker-daemon:x:1", option.Pull{}, errdefs.ErrUnsupported, []string{"docker-daemon", "oci-archive:"}},
		{r.Host + "/app:1", option.Pull{Options: access.Options{CertDir: "/nowhere"}}, errdefs.ErrInvalid, []string{"--cert-dir", "/nowhere"}},
		{r.Host + "/app:1", option.Pull{Options: access.Options{Creds: ":x"}}, errdefs.ErrInvalid, []string{"--creds"}},
	} {
		c.opts.Retry = quickly
		_, err := f.pull(c.ref, c.opts)
		f.failsWith(err, c.kind, c.words...)
	}
}

func TestPullPolicies(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/app:1"
	old := f.pushed(ref, "old", access.Options{})
	if _, err := f.pull(ref, option.Pull{Policy: option.PullMissing}); err != nil {
		t.Fatal(err)
	}
	f.noError(f.Tag(context.Background(), old, []string{"localhost/keep"}))
	fresh := f.imported(ref, "new")
	f.noError(f.Push(context.Background(), ref, "", option.Push{Quiet: true}))
	f.noError(f.Tag(context.Background(), old, []string{ref}))
	for _, c := range []struct{ policy, want string }{
		{option.PullMissing, old}, {option.PullNever, old}, {option.PullNewer, fresh}, {option.PullNewer, fresh}, {option.PullAlways, fresh},
	} {
		got, err := f.pull(ref, option.Pull{Policy: c.policy})
		f.noError(err)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.policy, got, c.want)
		}
	}
	r.Stop()
	if _, err := f.pull(ref, option.Pull{Policy: option.PullNewer, Retry: quickly}); err != nil {
		t.Errorf("newer without a registry: %v", err)
	}
}

func TestPullAllTags(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	for _, tag := range []string{"1", "2", "3"} {
		f.pushed(r.Host+"/app:"+tag, tag, access.Options{})
	}
	ids, err := f.Pull(context.Background(), r.Host+"/app", option.Pull{AllTags: true, Quiet: true})
	f.noError(err)
	if len(ids) != 3 {
		t.Errorf("%v", ids)
	}
	_, err = f.Pull(context.Background(), r.Host+"/app:1", option.Pull{AllTags: true})
	f.failsWith(err, errdefs.ErrInvalid, "--all-tags")
	f.noError(f.Push(context.Background(), r.Host+"/app", "", option.Push{AllTags: true, Quiet: true}))
}

func TestTLSAndLogin(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	r := fake.Start(t, fake.Options{TLS: true, User: "me", Password: "a:b"})
	ref := r.Host + "/app:1"
	f.imported(ref, "1")
	verify, not := true, false
	strict := access.Options{TLSVerify: &verify}
	err := f.Push(ctx, ref, "", option.Push{Options: strict})
	f.failsWith(err, nil, "certificate", "certs.d/"+r.Host, "--cert-dir", "--tls-verify=false")
	err = f.Push(ctx, ref, "", option.Push{Options: access.Options{CertDir: r.CertDir}})
	f.failsWith(err, nil, "wherry login "+r.Host)
	err = f.Push(ctx, ref, "", option.Push{Options: access.Options{CertDir: r.CertDir, Creds: "me:wrong"}})
	f.failsWith(err, nil, "wherry login "+r.Host)
	f.noError(f.Push(ctx, ref, "", option.Push{Options: access.Options{CertDir: r.CertDir, Creds: "me:a:b"}}))

	sys := SystemContext(f.cfg)
	f.noError(registry.Apply(&sys, r.Host, access.Options{CertDir: r.CertDir}))
	if _, err := registry.Login(ctx, &sys, r.Host, "me", "wrong"); err == nil {
		t.Error("wrong password accepted")
	} else {
		f.failsWith(err, nil, r.Host)
	}
	where, err := registry.Login(ctx, &sys, r.Host, "me", "a:b")
	f.noError(err)
	if info, err := os.Stat(where); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v %v", where, info, err)
	}
	_, err = f.pull(ref, option.Pull{Options: access.Options{TLSVerify: &not}})
	f.noError(err)
	user, err := registry.LoggedIn(&sys, r.Host)
	if err != nil || user != "me" {
		t.Errorf("%q %v", user, err)
	}
	f.noError(registry.Logout(&sys, r.Host))
	f.failsWith(registry.Logout(&sys, r.Host), errdefs.ErrNotFound, "nobody is logged in")
	_, err = f.pull(ref, option.Pull{Options: access.Options{CertDir: r.CertDir}, Retry: quickly})
	f.failsWith(err, nil, "wherry login")
}

func TestDockersLoginAndCertsDir(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{TLS: true, User: "me", Password: "pw"})
	ca, err := os.ReadFile(filepath.Join(r.CertDir, "ca.crt"))
	f.noError(err)
	f.write("home/.config/containers/certs.d/"+r.Host+"/ca.crt", string(ca))
	f.write("home/.docker/config.json", fmt.Sprintf(`{"auths":{%q:{"auth":"bWU6cHc="}}}`, r.Host))
	f.pushed(r.Host+"/app:1", "1", access.Options{})
	_, err = f.pull(r.Host+"/app:1", option.Pull{})
	f.noError(err)
}

func TestShortNamesMirrorsAndInsecure(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	id := f.pushed(r.Host+"/library/app:1", "1", access.Options{})
	f.write("home/registries.conf", fmt.Sprintf(`
unqualified-search-registries = ["%[1]s"]
[aliases]
"short" = "%[1]s/library/app"
[[registry]]
location = "%[1]s"
insecure = true
[[registry]]
location = "mirrored.invalid"
[[registry.mirror]]
location = "%[1]s/library"
insecure = true
`, r.Host))
	f.noError(f.Close())
	f.reopen()
	for _, ref := range []string{"short:1", "library/app:1", "mirrored.invalid/app:1", r.Host + "/library/app:1"} {
		got, err := f.pull(ref, option.Pull{Retry: quickly})
		if err != nil || got != id {
			t.Errorf("%s: %s %v", ref, got, err)
		}
	}
	img, err := f.lookup(context.Background(), "mirrored.invalid/app:1")
	if err != nil || img.ID != id {
		t.Errorf("a mirrored image keeps its name: %v %v", img, err)
	}
}

func TestWithoutRegistriesConfNamesMeanDockerHub(t *testing.T) {
	f := newFixture(t)
	list, err := candidates(&f.sys, "busybox")
	f.noError(err)
	if len(list) != 1 || list[0].name.String() != "docker.io/library/busybox:latest" {
		t.Errorf("%v", list)
	}
}

// pushIndex makes an index with random images for the platforms.
func pushIndex(t *testing.T, ref string, layers int, platforms ...string) {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, text := range platforms {
		p, err := v1.ParsePlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		img, err := random.Image(1000, int64(layers))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err == nil {
		err = remote.WriteIndex(parsed, index)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPullOfAnIndexChoosesThePlatform(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/multi:1"
	pushIndex(t, ref, 3, "linux/arm64", "linux/arm/v7", "linux/s390x")
	for text, arch := range map[string]string{"linux/arm64": "arm64", "linux/arm/v7": "arm", "s390x": "s390x", "linux/aarch64": "arm64"} {
		p, err := option.ParsePlatform(text)
		f.noError(err)
		id, err := f.pull(ref, option.Pull{Platform: p, Quiet: true})
		f.noError(err)
		img, err := f.lookup(ctx, id)
		f.noError(err)
		if img.Config.Architecture != arch || len(img.Layers) != 3 {
			t.Errorf("%s: got %s with %d layers", text, img.Config.Architecture, len(img.Layers))
		}
	}
	// The name is the last one's now; another platform is not "here".
	id, err := f.pull(ref, option.Pull{Policy: option.PullMissing, Platform: option.Platform{Arch: "arm", Variant: "v7"}})
	f.noError(err)
	if img, err := f.lookup(ctx, id); err != nil || img.Config.Architecture != "arm" {
		t.Errorf("%v %v", img, err)
	}
	_, err = f.pull(ref, option.Pull{Platform: option.Platform{Arch: "riscv64"}, Retry: quickly})
	f.failsWith(err, errdefs.ErrNotFound, "linux/riscv64", "linux/arm64, linux/arm/v7, linux/s390x")
	f.sound()
}

func TestSignaturePolicyIsHonoured(t *testing.T) {
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	f.pushed(r.Host+"/app:1", "1", access.Options{})
	f.write("home/.config/containers/policy.json", `{"default":[{"type":"reject"}],"transports":{"containers-storage":{"":[{"type":"insecureAcceptAnything"}]}}}`)
	f.noError(f.Close())
	f.reopen()
	_, err := f.pull(r.Host+"/app:1", option.Pull{})
	f.failsWith(err, nil, "signature policy")
	f.write("home/.config/containers/policy.json", `{"default":`)
	f.noError(f.Close())
	f.reopen()
	_, err = f.pull(r.Host+"/app:1", option.Pull{})
	f.failsWith(err, nil, "policy")
}

func TestSearchAndTags(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	f.pushed(r.Host+"/team/app:1", "1", access.Options{})
	f.pushed(r.Host+"/team/other:1", "2", access.Options{})
	found, err := Search(ctx, f.cfg, r.Host+"/app", option.Search{Limit: 25})
	f.noError(err)
	if len(found) != 1 || found[0].Name != r.Host+"/team/app" {
		t.Errorf("%+v", found)
	}
	_, tags, err := Tags(ctx, f.cfg, r.Host+"/team/app", option.Search{Limit: 25})
	if err != nil || len(tags) != 1 {
		t.Errorf("%v %v", tags, err)
	}
	_, _, err = Tags(ctx, f.cfg, r.Host+"/team/none", option.Search{Limit: 25})
	f.failsWith(err, errdefs.ErrNotFound, "team/none")
	_, err = Search(ctx, f.cfg, r.Host+"/app", option.Search{Limit: 0})
	f.failsWith(err, errdefs.ErrInvalid, "--limit")
	_, err = Search(ctx, f.cfg, "x", option.Search{Limit: 1, Filters: []string{"stars=many"}})
	f.failsWith(err, errdefs.ErrInvalid, "stars")
}

func TestPushOptions(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	r := fake.Start(t, fake.Options{})
	ref := r.Host + "/app:1"
	f.imported(ref, "1")
	digest := f.path("digest")
	for _, format := range []string{"oci", "v2s2"} {
		f.noError(f.Push(ctx, ref, "", option.Push{Format: format, DigestFile: digest, Quiet: true}))
		if data, err := os.ReadFile(digest); err != nil || !strings.HasPrefix(string(data), "sha256:") {
			t.Errorf("%s: %q %v", format, data, err)
		}
	}
	f.noError(f.Push(ctx, ref, "oci:"+f.path("layout")+":x", option.Push{Quiet: true}))
	f.noError(f.Push(ctx, ref, "dir:"+f.path("dir"), option.Push{Quiet: true}))
	f.noError(f.Push(ctx, ref, "docker-archive:"+f.path("a.tar"), option.Push{Quiet: true}))
	f.noError(f.Remove(ctx, ref, option.Remove{}))
	for _, source := range []string{"oci:" + f.path("layout") + ":x", "dir:" + f.path("dir"), "docker-archive:" + f.path("a.tar")} {
		if _, err := f.pull(source, option.Pull{Quiet: true}); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	f.imported("a", "2")
	f.failsWith(f.Push(ctx, "a", "", option.Push{Format: "v1"}), errdefs.ErrInvalid, "--format")
	f.failsWith(f.Push(ctx, "a", "", option.Push{CompressionFormat: "rar"}), errdefs.ErrInvalid, "--compression-format")
	f.failsWith(f.Push(ctx, "none", "", option.Push{}), errdefs.ErrNotFound, "none")
}

func TestAnInterruptedPullSaysSo(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	// 192.0.2.0/24 is for documentation: nobody answers.
	_, err := f.Pull(ctx, "192.0.2.1:5000/x", option.Pull{Retry: quickly, Quiet: true})
	f.failsWith(err, nil, "192.0.2.1:5000")
}
