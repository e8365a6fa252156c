package system

import (
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/test/registry"
)

// pull, push and the pull policies do what they say, at a registry.
func TestComposeRegistry(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{})
	image := reg.Host + "/" + projectName(t) + ":1"
	p := newProject(t, "compose.yaml", `
services:
  a:
    image: `+image+`
    build: {dockerfile_inline: "FROM busybox\nRUN echo one >/which\n"}
    command: cat /which
    pull_policy: ${POLICY:-missing}
`)
	t.Cleanup(func() { p.s.Try(t, "rmi", "-f", image) })
	p.must("build", "--quiet")
	p.must("push", "--quiet")
	p.s.Must(t, "rmi", "-f", image)

	p.s = shared.With("POLICY=never")
	p.fails(1, "", "up", "-d", "--no-build")
	p.s = shared.With("POLICY=missing")
	p.must("up", "-d", "--no-build", "--quiet-pull") // pulled
	before := p.s.Must(t, "image", "inspect", "-f", "{{.ID}}", image)

	p.write("compose.yaml", strings.Replace(p.read("compose.yaml"), "echo one", "echo two", 1))
	p.must("build", "--push", "--quiet") // to the registry alone
	p.must("pull", "--quiet", "--policy", "always")
	if now := p.s.Must(t, "image", "inspect", "-f", "{{.ID}}", image); now == before {
		t.Error("pull did not bring the new image")
	}
	p.must("up", "-d", "--no-build", "--force-recreate")
	if out := p.must("logs", "--no-log-prefix", "a"); !strings.Contains(out, "two") {
		t.Error("the container is of the old image:", out)
	}
	// What publish puts into a registry is a project for others.
	artifact := reg.Host + "/" + projectName(t) + "-app:1"
	p.must("publish", "-y", "--insecure-registry", artifact)
	if out := p.s.Must(t, "compose", "--insecure-registry", reg.Host, "-f", "oci://"+artifact, "config"); !strings.Contains(out, image) {
		t.Error("what was published:", out)
	}
}
