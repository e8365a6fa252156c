package system

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/test/registry"
)

// flag: buildx imagetools create --tag --append --annotation --dry-run --file --prefer-index
// flag: buildx imagetools inspect --format --raw
func TestImagetools(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{})
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n"})
	one, two, both := reg.Host+"/one:1", reg.Host+"/two:1", reg.Host+"/both:1"
	for name, arch := range map[string]string{one: "s390x", two: "riscv64"} {
		shared.Must(t, "build", "-q", "--platform", "linux/"+arch, "-o", "type=registry", "-t", name, context)
	}
	tools := func(args ...string) string {
		t.Helper()
		return shared.Must(t, append([]string{"buildx", "imagetools"}, args...)...)
	}
	architectures := "{{range .Manifest.Manifests}}{{.Platform.Architecture}} {{end}}"

	dry := tools("create", "--dry-run", "-t", both, one, two)
	if !strings.Contains(dry, "s390x") || !strings.Contains(dry, "riscv64") {
		t.Errorf("--dry-run: %s", dry)
	}
	shared.MustFail(t, 125, "both", "buildx", "imagetools", "inspect", both) // nothing was written

	tools("create", "-t", both, "--annotation", "index:who=me", one)
	want(t, "an index of one image", tools("inspect", "--format", architectures+"{{.Manifest.Annotations.who}}", both), "s390x me")
	tools("create", "--append", "-t", both, "--file", file(t, "source", two+"\n"))
	want(t, "with one more", tools("inspect", "--format", architectures, both), "s390x riscv64 ")
	want(t, "the configurations", tools("inspect", "--format", "{{range $p, $i := .Image}}{{$p}}={{$i.Architecture}} {{end}}", both), "linux/riscv64=riscv64 linux/s390x=s390x ")
	shown := tools("inspect", both)
	if !strings.Contains(shown, "Platform:  linux/riscv64") {
		t.Errorf("inspect:\n%s", shown)
	}
	shared.Must(t, "pull", "-q", "--platform", "linux/riscv64", both) // its layers are in the repository, too
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", both) })

	copied := reg.Host + "/copy:1"
	tools("create", "--prefer-index=false", "-t", copied, one)
	raw := shared.Try(t, "buildx", "imagetools", "inspect", "--raw", copied).Stdout
	sum := sha256.Sum256([]byte(raw))
	want(t, "a copy", "sha256:"+hex.EncodeToString(sum[:]), tools("inspect", "--format", "{{.Manifest.Digest}}", one))

	shared.MustFail(t, 125, "--tag", "buildx", "imagetools", "create", one)
	shared.MustFail(t, 125, "sources", "buildx", "imagetools", "create", "-t", both)
	shared.MustFail(t, 125, "index:", "buildx", "imagetools", "create", "-t", both, "--annotation", "manifest:a=b", one)
}
