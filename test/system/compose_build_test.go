package system

import (
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// Services are built from their sources, one upon another where a file says so, with arguments and secrets; a change is built
// again by up --build, and down --rmi takes the images away.
func TestComposeBuild(t *testing.T) {
	t.Parallel()
	p := newProject(t, "compose.yaml", `
services:
  app:
    build:
      context: ./app
      args: {WHO: "${WHO:-world}"}
      labels: {made: here}
      target: last
      secrets: [token]
      tags: ["`+projectName(t)+`:extra"]
      additional_contexts: {base: "service:base", data: ./data}
    command: cat /said
  base:
    image: `+projectName(t)+`-base:1
    build:
      dockerfile_inline: |
        FROM busybox
        RUN echo "of base$${1:-}" >/base
    command: "true"
secrets:
  token: {environment: TOKEN}
`, "app/Dockerfile", `FROM base AS first
FROM first AS last
ARG WHO
COPY --from=data file /data
RUN --mount=type=secret,id=token cat /base /data /run/secrets/token >/said && echo "hello $WHO" >>/said
FROM last AS never
RUN exit 1
`, "data/file", "of a context\n", ".env", "TOKEN=of-a-secret\n")
	p.must("build", "--quiet")
	p.must("up", "-d", "--no-build")
	said := func() string { return p.must("logs", "--no-log-prefix", "app") }
	testkit.Eventually(t, "the end of app", func() bool { return p.states()["app-1"] == "exited" })
	if got := said(); got != "of base\nof a context\nof-a-secrethello world" {
		t.Errorf("app said %q", got)
	}
	if got := p.s.Must(t, "image", "inspect", "-f", "{{.Config.Labels.made}}", p.name+"-app"); got != "here" {
		t.Error("label:", got)
	}
	p.s.Must(t, "image", "exists", projectName(t)+":extra")
	before := p.inspect("base", "{{.ID}}")
	p.s = p.s.With("WHO=all")
	p.must("up", "-d", "--build", "--quiet-build")
	testkit.Eventually(t, "the end of the new app", func() bool { return p.states()["app-1"] == "exited" })
	if got := said(); !strings.HasSuffix(got, "hello all") {
		t.Errorf("after up --build app said %q", got)
	}
	if p.inspect("base", "{{.ID}}") != before {
		t.Error("base, which has not changed, was made anew")
	}
	p.must("down", "-t", "0", "--rmi", "all")
	for _, image := range []string{p.name + "-app", projectName(t) + "-base:1"} {
		if r := p.s.Try(t, "image", "exists", image); r.Code == 0 {
			t.Error("down --rmi all left", image)
		}
	}
	p.s.Try(t, "rmi", projectName(t)+":extra")
}

// A step that fails is told with the lines of the Dockerfile, and the service does not come up.
func TestComposeBuildFails(t *testing.T) {
	t.Parallel()
	p := newProject(t, "compose.yaml", "services:\n  app:\n    build: .\n", "Dockerfile", "FROM busybox\nRUN echo what went wrong && exit 3\n")
	r := p.try("up", "-d")
	if r.Code != 1 || !strings.Contains(r.Stdout+r.Stderr, "what went wrong") || !strings.Contains(r.Stderr, "exit code: 3") {
		t.Errorf("%d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	p.want()
	p.write("Dockerfile", "FROM busybox\nRNU x\n")
	if r := p.try("build"); r.Code != 1 || !strings.Contains(r.Stderr, "unknown instruction: RNU") {
		t.Errorf("%d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
}
