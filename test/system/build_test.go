package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// recipe makes a context of files; a name that ends in / is a directory.
func recipe(t *testing.T, files map[string]string) string {
	t.Helper()
	root := dir(t)
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			os.MkdirAll(path, 0o755)
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// built names an image of the test, removed at its end.
func built(t *testing.T) string {
	name := "built-" + strings.NewReplacer("/", "-", "_", "-").Replace(strings.ToLower(t.Name()))
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	return name
}

// build builds a context and returns the name of the image.
func build(t *testing.T, context string, args ...string) string {
	t.Helper()
	name := built(t)
	shared.Must(t, append(append([]string{"build", "--progress", "plain", "-t", name}, args...), context)...)
	return name
}

// ran counts the steps of RUN that a build carried out; it was not asked to be quiet.
func ran(r testkit.Result) int {
	n := 0
	for _, block := range strings.Split(r.Stderr, "\n\n") {
		if strings.Contains(block, "] RUN ") && strings.Contains(block, " DONE ") {
			n++
		}
	}
	return n
}

// flag: build --tag --build-arg --label
func TestBuildInstructions(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"a.txt": "A", "b/sub/f": "B", "Dockerfile": `# syntax=docker/dockerfile:1
ARG BASE=none
FROM ${BASE} AS base
ARG WHO=nobody
ENV A=1 B="two words"
LABEL one=1 "l 2"="v 2"
MAINTAINER me
SHELL ["/bin/sh", "-ec"]
WORKDIR /w/x
RUN pwd > where; echo "$A $B $WHO" > env
RUN <<EOR
echo heredoc > heredoc
EOR
COPY <<one <<two /docs/
first
one
second
two
ADD --chown=1000:1001 --chmod=640 a.txt /added
COPY --link b /linked/
VOLUME /data
EXPOSE 80/tcp 53/udp
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
USER user
ENTRYPOINT ["/bin/sh","-c"]
CMD ["id -u"]
`})
	name := build(t, context, "--build-arg", "BASE="+testkit.Image, "--build-arg", "WHO=me", "--label", "cli=yes")
	want(t, "its command", shared.Must(t, "run", "--rm", "--network", "none", name), "1000")
	want(t, "its files", inside2(t, name, "cat /w/x/where /w/x/env /w/x/heredoc /docs/one /docs/two /linked/sub/f; stat -c ' %u:%g %a' /added; pwd; echo $A"),
		"/w/x\n1 two words me\nheredoc\nfirst\nsecond\nB 1000:1001 640\n/w/x\n1")
	want(t, "its settings", imageField(t, name, `{{.Config.User}} {{.Config.WorkingDir}} {{.Config.StopSignal}} {{json .Config.Volumes}} {{json .Config.ExposedPorts}} {{.Config.Healthcheck.Test}} {{json .Config.Shell}} {{.Author}}`),
		`user /w/x SIGINT {"/data":{}} {"53/udp":{},"80/tcp":{}} [CMD-SHELL true] ["/bin/sh","-ec"] me`)
	want(t, "its labels", imageField(t, name, `{{.Config.Labels.one}} {{index .Config.Labels "l 2"}} {{.Config.Labels.cli}}`), "1 v 2 yes")
	if steps := shared.Must(t, "history", "--no-trunc", "--format", "{{.CreatedBy}}", name); !strings.Contains(steps, "COPY b /linked/ # buildkit") {
		t.Errorf("history does not show the steps:\n%s", steps)
	}
}

func TestBuildOnbuild(t *testing.T) {
	t.Parallel()
	parent := build(t, recipe(t, map[string]string{"Dockerfile": "FROM " + testkit.Image + "\nONBUILD COPY f /here\nONBUILD RUN echo $((40+2)) >> /here\n"}))
	child := parent + "-child"
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", child) })
	shared.Must(t, "build", "-q", "-t", child, recipe(t, map[string]string{"Dockerfile": "FROM " + parent + "\nRUN echo last >> /here\n", "f": "file\n"}))
	want(t, "what the parent asked for, then what the child does", inside2(t, child, "cat /here"), "file\n42\nlast")
}

// flag: build --target
func TestBuildStages(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"Dockerfile": `FROM busybox AS tools
RUN mkdir /out && echo made > /out/file && ln -s file /out/link
FROM tools AS never
RUN exit 9
FROM scratch AS files
COPY --from=tools /out/ /x/
FROM busybox AS last
COPY --from=files /x /y
COPY --from=busybox /etc/passwd /z
`})
	name := build(t, context)
	want(t, "files of other stages and images", inside2(t, name, "cat /y/link; readlink /y/link; head -c 4 /z"), "made\nfile\nroot")
	small := build(t, context, "--target", "files")
	tarball := filepath.Join(dir(t), "x.tar")
	shared.Must(t, "build", "-q", "--target", "files", "-o", "type=tar,dest="+tarball, context)
	if data, _ := os.ReadFile(tarball); !strings.Contains(string(data), "x/file") || strings.Contains(string(data), "etc/") {
		t.Error("the stage from scratch has other files than those copied")
	}
	want(t, "layers of the small image", imageField(t, small, "{{len .RootFS.Layers}}"), "1")
}

// flag: build --build-arg --build-arg-file --platform
func TestBuildArguments(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"args": "# comment\nFILED=from file\nBOTH=file\n", "Dockerfile": `ARG GLOBAL=global
FROM busybox
ARG GLOBAL
ARG FILED=unset
ARG BOTH
ARG HOSTS
ARG PLAIN=default
ARG TARGETARCH
ARG TARGETPLATFORM
RUN echo "$GLOBAL/$FILED/$BOTH/$HOSTS/$PLAIN/$TARGETPLATFORM/$UNDECLARED" > /args
`})
	name := built(t)
	with := shared.With("HOSTS=of the environment")
	with.Must(t, "build", "-q", "-t", name, "--build-arg-file", filepath.Join(context, "args"), "--build-arg", "BOTH=flag", "--build-arg", "HOSTS", "--build-arg", "UNDECLARED=x", context)
	got := inside2(t, name, "cat /args")
	if !strings.HasPrefix(got, "global/from file/flag/of the environment/default/linux/") || !strings.HasSuffix(got, "/") {
		t.Errorf("arguments in a step: %s", got)
	}
	if history := shared.Must(t, "history", "--no-trunc", name); strings.Contains(history, "UNDECLARED=") {
		t.Error("an argument that the Dockerfile does not declare is in the image")
	}
}

// flag: build --no-cache --no-cache-filter
func TestBuildCache(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"early": "1", "late": "1", "Dockerfile": `FROM busybox AS one
COPY early /
RUN head -c 8 /dev/urandom | od -An -tx1 > /one
FROM busybox
COPY --from=one /one /
COPY late /
RUN head -c 8 /dev/urandom | od -An -tx1 > /two
`})
	name := built(t)
	again := func(steps int, args ...string) (one, two string) {
		t.Helper()
		r := shared.Try(t, append(append([]string{"build", "--progress", "plain", "-t", name}, args...), context)...)
		if r.Code != 0 || ran(r) != steps {
			t.Fatalf("build %v: exit %d, %d steps of RUN were carried out, want %d\n%s", args, r.Code, ran(r), steps, r.Stderr)
		}
		one, two, _ = strings.Cut(inside2(t, name, "cat /one /two"), "\n")
		return one, two
	}
	one, two := again(2)
	id := imageField(t, name, "{{.Id}}")
	os.Chtimes(filepath.Join(context, "early"), time.Unix(1e9, 0), time.Unix(1e9, 0))
	again(0)
	want(t, "the image of a build in which nothing changed", imageField(t, name, "{{.Id}}"), id)
	os.WriteFile(filepath.Join(context, "late"), []byte("2"), 0o644)
	one2, two2 := again(1)
	if one2 != one || two2 == two {
		t.Error("a file of a later step was changed: the earlier step must stay, the later one be done again")
	}
	one3, two3 := again(2, "--no-cache-filter", "one") // the second stage too, for a file of the first one changed
	if one3 == one {
		t.Error("--no-cache-filter: its stage was not done again")
	}
	one4, two4 := again(2, "--no-cache")
	if one4 == one3 || two4 == two3 {
		t.Error("--no-cache: a step was not done again")
	}
	if one5, two5 := again(0); one5 != one4 || two5 != two4 {
		t.Error("what --no-cache made is not used by the next build")
	}
}

func TestBuildParallel(t *testing.T) {
	t.Parallel()
	// Each stage waits until the other one is there: one after the other they would not end.
	wait := func(self, other string) string {
		return "RUN --mount=type=cache,id=together,target=/m touch /m/" + self + "; i=0; while [ ! -e /m/" + other + " ]; do i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.05; done\n"
	}
	context := recipe(t, map[string]string{"Dockerfile": "FROM busybox AS a\n" + wait("a", "b") + "FROM busybox AS b\n" + wait("b", "a") +
		"FROM scratch\nCOPY --from=a /bin/busybox /a\nCOPY --from=b /bin/busybox /b\n"})
	shared.Must(t, "build", "-q", "--jobs", "2", context)
}

func TestBuildOnceTogether(t *testing.T) {
	t.Parallel()
	context := recipe(t, map[string]string{"f": "x", "Dockerfile": `FROM busybox AS step
COPY f /
RUN --mount=type=cache,id=once,target=/m echo run >> /m/log; sleep 0.3
FROM busybox AS look
RUN --mount=type=cache,id=once,target=/m cp /m/log /
`})
	results := make(chan testkit.Result)
	for range 4 {
		go func() { results <- shared.Try(t, "build", "--progress", "plain", "--target", "step", context) }()
	}
	steps := 0
	for range 4 {
		r := <-results
		if r.Code != 0 {
			t.Errorf("exit %d:\n%s", r.Code, r.Stderr)
		}
		steps += ran(r)
	}
	name := build(t, context)
	want(t, "how often a step of four builds at the same time was done", inside2(t, name, "cat /log"), "run")
}
