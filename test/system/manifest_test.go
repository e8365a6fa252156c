package system

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// index is what a test looks at in a manifest list.
type index struct {
	MediaType    string `json:"mediaType"`
	Annotations  map[string]string
	Subject      *struct{ Digest string }
	ArtifactType string
	Manifests    []struct {
		Digest       string
		ArtifactType string
		Annotations  map[string]string
		Platform     struct {
			OS, Architecture, Variant string
			Version                   string   `json:"os.version"`
			Features                  []string `json:"os.features"`
		}
	}
}

func listOf(t *testing.T, name string) (list index) {
	t.Helper()
	if err := json.Unmarshal([]byte(shared.Must(t, "manifest", "inspect", name)), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// pushedIndex is the list in an OCI layout.
func pushedIndex(t *testing.T, dir string) (list index) {
	t.Helper()
	var top index
	for _, step := range []*index{&top, &list} {
		path := filepath.Join(dir, "index.json")
		if step == &list {
			path = filepath.Join(dir, "blobs", strings.ReplaceAll(top.Manifests[0].Digest, ":", "/"))
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, step)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// A list of images is made, changed, pushed with its images, and removed; the images stay.
//
// flag: manifest create --annotation --amend
// flag: manifest add --os --arch --variant --os-version --annotation --features
// flag: manifest annotate --arch --annotation --index --os --os-features --os-version --variant --subject --features
// flag: manifest inspect
// flag: manifest remove
// flag: manifest push --all --digestfile --format --quiet --rm
// flag: manifest rm --ignore
// flag: manifest exists
func TestManifestList(t *testing.T) {
	t.Parallel()
	list := strings.ToLower(t.Name())
	arm := image(t, []entry{{name: "arm", content: "arm", mode: 0o644}})
	if r := shared.Try(t, "manifest", "exists", list); r.Code != 1 || r.Stderr != "" {
		t.Errorf("exists before: %d %s", r.Code, r.Stderr)
	}
	id := shared.Must(t, "manifest", "create", "--annotation", "made=here", list, testkit.Image)
	shared.Must(t, "manifest", "exists", list)
	shared.MustFail(t, 125, "--amend", "manifest", "create", list)
	if again := shared.Must(t, "manifest", "create", "--amend", list); again != id {
		t.Errorf("--amend made %s of %s", again, id)
	}
	shared.Must(t, "manifest", "add", "--os", "linux", "--arch", "arm", "--variant", "v7", "--annotation", "a=b", list, arm)
	made := listOf(t, list)
	if len(made.Manifests) != 2 || made.Annotations["made"] != "here" {
		t.Fatalf("%+v", made)
	}
	if m := made.Manifests[1]; m.Platform.Architecture != "arm" || m.Platform.Variant != "v7" || m.Annotations["a"] != "b" {
		t.Errorf("added: %+v", m)
	}
	shared.Must(t, "manifest", "annotate", "--arch", "arm64", "--os", "linux", "--variant", "v8", "--os-version", "9", "--os-features", "x", "--annotation", "c=d", list, arm)
	shared.Must(t, "manifest", "annotate", "--index", "--annotation", "top=1", list)
	shared.Must(t, "manifest", "annotate", "--subject", testkit.Image, list)
	changed := listOf(t, list)
	m := changed.Manifests[1]
	if m.Platform.Architecture != "arm64" || m.Platform.Variant != "v8" || m.Platform.Version != "9" || strings.Join(m.Platform.Features, "") != "x" || m.Annotations["c"] != "d" {
		t.Errorf("annotated: %+v", m)
	}
	if changed.Annotations["top"] != "1" || changed.Subject == nil || changed.Subject.Digest != made.Manifests[0].Digest {
		t.Errorf("of the list: %+v", changed)
	}
	shared.MustFail(t, 125, "no entry", "manifest", "remove", list, "sha256:"+strings.Repeat("0", 64))
	shared.MustFail(t, 125, "which image", "manifest", "annotate", list)

	dir, digestFile := filepath.Join(t.TempDir(), "oci"), filepath.Join(t.TempDir(), "digest")
	if out := shared.Must(t, "manifest", "push", "--quiet", "--all", "--format", "oci", "--digestfile", digestFile, list, "oci:"+dir); out != "" {
		t.Errorf("--quiet says %s", out)
	}
	pushed := pushedIndex(t, dir)
	if len(pushed.Manifests) != 2 || pushed.Manifests[1].Platform.Architecture != "arm64" {
		t.Errorf("pushed: %+v", pushed)
	}
	for _, m := range pushed.Manifests {
		if _, err := os.Stat(filepath.Join(dir, "blobs", strings.ReplaceAll(m.Digest, ":", "/"))); err != nil {
			t.Error(err)
		}
	}
	if digest, err := os.ReadFile(digestFile); err != nil || !strings.HasPrefix(string(digest), "sha256:") {
		t.Errorf("--digestfile: %s %v", digest, err)
	}
	shared.Must(t, "manifest", "remove", list, m.Digest)
	if left := listOf(t, list); len(left.Manifests) != 1 {
		t.Errorf("after remove: %+v", left)
	}
	shared.Must(t, "images")
	shared.Must(t, "system", "df")
	shared.Must(t, "manifest", "push", "--rm", list, "oci:"+filepath.Join(t.TempDir(), "again"))
	if r := shared.Try(t, "manifest", "exists", list); r.Code != 1 {
		t.Errorf("exists after push --rm: %d", r.Code)
	}
	shared.MustFail(t, 125, "no manifest list", "manifest", "rm", list)
	shared.Must(t, "manifest", "rm", "--ignore", list)
	shared.Must(t, "image", "exists", arm)
}

// Files become an artifact of a list.
//
// flag: manifest add --artifact --artifact-type --artifact-config --artifact-config-type --artifact-layer-type --artifact-exclude-titles --artifact-subject
func TestManifestArtifact(t *testing.T) {
	t.Parallel()
	list, file := strings.ToLower(t.Name()), filepath.Join(t.TempDir(), "sbom.txt")
	if err := os.WriteFile(file, []byte("parts"), 0o600); err != nil {
		t.Fatal(err)
	}
	shared.Must(t, "manifest", "create", list)
	t.Cleanup(func() { shared.Try(t, "manifest", "rm", list) })
	shared.MustFail(t, 125, "--artifact only", "manifest", "add", "--artifact-type", "x/y", list, file)
	shared.Must(t, "manifest", "add", "--artifact", "--artifact-type", "x/sbom", "--artifact-layer-type", "text/parts", "--artifact-config", file, "--artifact-config-type", "x/config",
		"--artifact-exclude-titles", "--artifact-subject", testkit.Image, list, file)
	dir := filepath.Join(t.TempDir(), "oci")
	shared.Must(t, "manifest", "push", list, "oci:"+dir)
	pushed := pushedIndex(t, dir)
	if len(pushed.Manifests) != 1 || pushed.Manifests[0].ArtifactType != "x/sbom" {
		t.Fatalf("%+v", pushed)
	}
	data, err := os.ReadFile(filepath.Join(dir, "blobs", strings.ReplaceAll(pushed.Manifests[0].Digest, ":", "/")))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"text/parts"`, `"x/config"`, `"subject"`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("the artifact has no %s: %s", part, data)
		}
	}
	if strings.Contains(string(data), "sbom.txt") {
		t.Errorf("its titles are not excluded: %s", data)
	}
}
