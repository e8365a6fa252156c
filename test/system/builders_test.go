package system

import (
	"runtime"
	"strings"
	"testing"
)

// flag: build --builder
// flag: buildx create --name --use --platform --driver --driver-opt
// flag: buildx use
// flag: buildx inspect
// flag: buildx ls
// flag: buildx rm
// flag: buildx version
func TestBuilders(t *testing.T) {
	t.Parallel()
	config := "XDG_CONFIG_HOME=" + dir(t)
	s := shared.With(config)
	context := recipe(t, map[string]string{"Dockerfile": "FROM scratch\nLABEL a=b\n"})
	name := built(t)
	arch := func(s interface {
		Must(testing.TB, ...string) string
	}, args ...string) string {
		t.Helper()
		s.Must(t, append(append([]string{"build", "-q", "-t", name}, args...), context)...)
		return imageField(t, name, "{{.Architecture}}")
	}
	s.Must(t, "buildx", "create", "--name", "other", "--driver", "wherry", "--driver-opt", "jobs=1", "--platform", "linux/s390x")
	want(t, "a builder that is not the current one", arch(s), runtime.GOARCH)
	want(t, "--builder", arch(s, "--builder", "other"), "s390x")
	want(t, "BUILDX_BUILDER", arch(shared.With(config, "BUILDX_BUILDER=other")), "s390x")
	s.Must(t, "buildx", "use", "other")
	want(t, "the current one", arch(s), "s390x")
	want(t, "--platform", arch(s, "--platform", "linux/riscv64"), "riscv64")
	if out := s.Must(t, "buildx", "ls"); !strings.Contains(out, "other*") || !strings.Contains(out, "default ") {
		t.Errorf("ls:\n%s", out)
	}
	if out := s.Must(t, "buildx", "inspect"); !strings.Contains(out, "linux/s390x") || !strings.Contains(out, "Jobs:      1") {
		t.Errorf("inspect:\n%s", out)
	}
	s.Must(t, "buildx", "create", "--name", "third", "--use", "--driver-opt", "jobs=1")
	want(t, "--use", arch(s), runtime.GOARCH)
	step := "RUN --mount=type=cache,id=builders,target=/m mkdir /m/busy && sleep 0.2 && rmdir /m/busy\n"
	s.Must(t, "build", "-q", recipe(t, map[string]string{"Dockerfile": "FROM busybox AS a\n" + step + "FROM busybox AS b\nRUN true\n" + step +
		"FROM scratch\nCOPY --from=a /bin/busybox /a\nCOPY --from=b /bin/busybox /b\n"})) // two at a time would meet in /m/busy
	s.Must(t, "buildx", "rm", "other", "third")
	s.MustFail(t, 125, "other", "build", "--builder", "other", context)
	s.MustFail(t, 125, "kubernetes", "buildx", "create", "--name", "x", "--driver", "kubernetes")
	s.MustFail(t, 125, "no daemon", "buildx", "stop")
	s.MustFail(t, 125, "always there", "buildx", "rm", "default")
	if out := s.Must(t, "buildx", "version"); !strings.Contains(out, "wherry ") {
		t.Errorf("version: %s", out)
	}
}
