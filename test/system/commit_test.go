package system

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// committed names an image of the test, removed at its end.
func committed(t *testing.T) string {
	name := "committed-" + strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	return name
}

func imageField(t *testing.T, name, format string) string {
	t.Helper()
	return shared.Must(t, "image", "inspect", "--format", format, name)
}

// flag: commit
func TestCommitKeepsChanges(t *testing.T) {
	t.Parallel()
	ctr, name := shared.Name(t), committed(t)
	script := `rm /etc/group; echo x >/etc/new; rm -rf /var; mkdir /var; mkdir -m 700 /n; echo y >/n/f; chown 5:6 /n/f; ln /n/f /n/g; ln -s f /n/l
		echo vol''ume-content >/vol/in; echo tmp''fs-content >/tmpfs/in; cat /run/secrets/pw >/dev/null; echo h >>/etc/hosts`
	shared.Must(t, "secret", "create", ctr+"pw", file(t, "pw", "pass word"))
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-v", ctr); shared.Try(t, "secret", "rm", ctr+"pw") })
	shared.Must(t, "run", "--name", ctr, "--network", "none", "-v", "/vol", "--tmpfs", "/tmpfs", "--secret", ctr+"pw,target=pw", "-e", "A=b", "-l", "k=v", "-w", "/n",
		"--entrypoint", "sh", testkit.Image, "-c", script)
	id := shared.Must(t, "commit", ctr, name)
	want(t, "its id", imageField(t, name, "{{.Id}}"), id)
	want(t, "in a container of it", inside2(t, name, "stat -c '%u:%g %a %h' /n/f; readlink /n/l; cat /etc/new; ls /var; ls /vol /tmpfs 2>/dev/null; ls -d /etc/group 2>/dev/null; echo $A; pwd"),
		"5:6 644 2\nf\nx\nb\n/n")
	want(t, "its settings", imageField(t, name, "{{.Config.Entrypoint}} {{.Config.Labels.k}} {{.Config.WorkingDir}}"), "[sh] v /n")
	want(t, "below it", shared.Must(t, "image", "diff", name), shared.Must(t, "diff", ctr))
	tarball := filepath.Join(dir(t), "x.tar")
	shared.Must(t, "save", "-q", "-o", tarball, name)
	data, _ := os.ReadFile(tarball)
	if strings.Contains(string(data), "pass word") || strings.Contains(string(data), "volume-content") || strings.Contains(string(data), "tmpfs-content") {
		t.Error("what was mounted is in the image")
	}
}

// inside2 runs a script in a container of an image.
func inside2(t *testing.T, image, script string) string {
	t.Helper()
	return shared.Must(t, "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)
}

// flag: commit --author --change --config --message --iidfile --include-volumes --format --quiet
func TestCommitFlags(t *testing.T) {
	t.Parallel()
	ctr, name, iid := shared.Name(t), committed(t), filepath.Join(dir(t), "iid")
	shared.Must(t, "create", "--name", ctr, "-e", "OLD=1", "-v", ctr+"vol:/declared", testkit.Image, "true")
	t.Cleanup(func() { shared.Try(t, "rm", "-f", ctr); shared.Try(t, "volume", "rm", ctr+"vol") })
	config := file(t, "config.json", `{"User":"7","Env":["NEW=2"],"Labels":{"from":"file"}}`)
	args := []string{"commit", "-a", "me <m@x>", "-m", "why", "--config", config, "--iidfile", iid, "--include-volumes", "-f", "docker", "-q"}
	for _, change := range []string{`CMD ["a","b"]`, `ENTRYPOINT ["e"]`, "ENV X=y", "EXPOSE 80", "LABEL l=m", "ONBUILD RUN x", "STOPSIGNAL KILL", "USER 8:9", "VOLUME /v", "WORKDIR /w",
		"HEALTHCHECK --interval=5s --retries=2 CMD check it"} {
		args = append(args, "-c", change)
	}
	id := shared.Must(t, append(args, ctr, name)...)
	data, _ := os.ReadFile(iid)
	want(t, "--iidfile", string(data), id)
	for format, wanted := range map[string]string{
		"{{.Author}}|{{.Comment}}": "me <m@x>|why",
		"{{.Config.Cmd}}":          "[a b]",
		"{{.Config.Entrypoint}}":   "[e]",
		"{{.Config.ExposedPorts}}": "map[80/tcp:map[]]",
		"{{.Config.Labels}}":       "map[from:file l:m]",
		"{{.Config.OnBuild}}":      "[RUN x]",
		"{{.Config.StopSignal}}":   "KILL",
		"{{.Config.User}}":         "8:9",
		"{{.Config.Volumes}}":      "map[/declared:map[] /v:map[]]",
		"{{.Config.WorkingDir}}":   "/w",
		"{{.Config.Healthcheck}}":  "",
		"{{index .Config.Env 1}}":  "OLD=1",
		"{{index .Config.Env 2}}":  "NEW=2",
		"{{index .Config.Env 3}}":  "X=y",
		"{{len .RootFS.Layers}}":   "1",
	} {
		if got := imageField(t, name, format); wanted != "" && got != wanted {
			t.Errorf("%s: %q, want %q", format, got, wanted)
		}
	}
	if got := imageField(t, name, "{{json .Config.Healthcheck}}"); !strings.Contains(got, `"CMD-SHELL","check it"`) || !strings.Contains(got, "5000000000") {
		t.Errorf("health check: %s", got)
	}
	manifest := shared.Must(t, "unshare", "sh", "-c", "cat "+shared.Data+"/storage/overlay-images/"+strings.TrimPrefix(id, "sha256:")+"/=bWFuaWZlc3Q* "+shared.Data+"/storage/overlay-images/"+strings.TrimPrefix(id, "sha256:")+"/manifest 2>/dev/null; true")
	if !strings.Contains(manifest, "vnd.docker.distribution.manifest.v2") {
		t.Errorf("--format docker: %s", manifest)
	}
	for fails, args := range map[string][]string{
		"nope":        {"commit", "nope"},
		"--change":    {"commit", "-c", "RUN x", ctr},
		"HEALTHCHECK": {"commit", "-c", "HEALTHCHECK --interval=x CMD y", ctr},
		"--config":    {"commit", "--config", "/does/not/exist", ctr},
		"reference":   {"commit", ctr, "Bad:Name:x"},
		"oci, docker": {"commit", "-f", "tar", ctr},
	} {
		shared.MustFail(t, 125, fails, args...)
	}
}

// flag: commit --squash
func TestCommitSquash(t *testing.T) {
	t.Parallel()
	ctr, name := finished(t, "rm /etc/group; echo x >/new"), committed(t)
	shared.Must(t, "commit", "-s", ctr, name)
	want(t, "layers", imageField(t, name, "{{len .RootFS.Layers}}"), "1")
	want(t, "its files", inside2(t, name, "cat /new; ls /etc/group 2>/dev/null; ls /etc/passwd"), "x\n/etc/passwd")
}

// A running container is paused while its files are read, and goes on: also when commit is killed.
// flag: commit --pause --no-pause
func TestCommitPauses(t *testing.T) {
	t.Parallel()
	grouped(t)
	ctr := up(t, "i=0; while :; do head -c 300000 /dev/urandom >/big$((i=(i+1)%40)); [ $i = 39 ] && echo ready; done", "--network", "none")
	frozen := func() bool { return field(t, ctr, "{{.State.Paused}}") == "true" }
	begin := func(args ...string) *os.Process {
		cmd := shared.Command(context.Background(), append(append([]string{"commit"}, args...), ctr)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go cmd.Wait()
		return cmd.Process
	}
	for range 3 {
		p := begin()
		testkit.Eventually(t, "paused", frozen)
		p.Signal(syscall.SIGKILL)
		testkit.Eventually(t, "goes on", func() bool { return !frozen() })
	}
	id := shared.Must(t, "commit", "--no-pause", ctr)
	shared.Must(t, "rmi", id)
	shared.Must(t, "pause", ctr)
	id = shared.Must(t, "commit", ctr)
	shared.Must(t, "rmi", id)
	if !frozen() {
		t.Error("commit let a container go on that the user had paused")
	}
	shared.Must(t, "unpause", ctr)
	id = shared.Must(t, "commit", ctr)
	shared.Must(t, "rmi", id)
	if frozen() {
		t.Error("it stays paused")
	}
}
