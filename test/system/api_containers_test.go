package system

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// TestAPIStates: what is asked of a container that is so already, or cannot be so, has Docker's status.
func TestAPIStates(t *testing.T) {
	t.Parallel()
	v := dockerService(t)
	c := v.client(t)
	id := made(t, c, client.ContainerCreateOptions{Config: shell(trapping)})
	for _, step := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"POST", "/stop", 304, ""},
		{"POST", "/kill", 409, "is not running"},
		{"POST", "/pause", 409, "is not running"},
		{"POST", "/unpause", 409, "is not paused"},
		{"POST", "/start", 204, ""},
		{"POST", "/start", 304, ""},
		{"POST", "/unpause", 409, "is not paused"},
		{"POST", "/pause", 204, ""},
		{"POST", "/pause", 409, "is already paused"},
		{"POST", "/start", 409, "cannot start a paused container, try unpause instead"},
		{"POST", "/attach?stream=1", 409, "is paused"},
		{"POST", "/unpause", 204, ""},
		{"DELETE", "", 409, "container is running: stop the container before removing or force remove"},
		{"POST", "/kill?signal=NOSUCH", 400, "invalid signal: NOSUCH"},
		{"POST", "/rename?name=", 400, "Neither old nor new names may be empty"},
		{"POST", "/rename?name=-x", 400, "Invalid container name"},
		{"POST", "/wait?condition=tired", 400, `invalid condition: "tired"`},
		{"POST", "/resize?h=x", 400, "invalid value"},
		{"POST", "/stop?t=10", 204, ""},
		{"POST", "/stop", 304, ""},
		{"DELETE", "?link=1", 400, "link is not supported"},
		{"DELETE", "", 204, ""},
		{"DELETE", "", 404, "No such container: " + id},
	} {
		status, text := v.raw(t, step.method, "/containers/"+id+step.path, "", nil)
		if status != step.status || !strings.Contains(text, step.text) {
			t.Errorf("%s %s: %d %q, want %d %q", step.method, step.path, status, text, step.status, step.text)
		}
	}
}

func TestAPINames(t *testing.T) {
	t.Parallel()
	c := docker(t)
	name := shared.Name(t)
	id := made(t, c, client.ContainerCreateOptions{Name: name})
	_, err := c.ContainerCreate(t.Context(), client.ContainerCreateOptions{Name: name, Image: testkit.Image})
	if !cerrdefs.IsConflict(err) || !strings.Contains(err.Error(), fmt.Sprintf(`Conflict. The container name "/%s" is already in use by container "%s"`, name, id)) {
		t.Error(err)
	}
	if _, err := c.ContainerRename(t.Context(), id, client.ContainerRenameOptions{NewName: name + "2"}); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name+"2") })
	for _, ref := range []string{name + "2", "/" + name + "2", id, id[:12]} {
		if got, err := c.ContainerInspect(t.Context(), strings.TrimPrefix(ref, "/"), client.ContainerInspectOptions{}); err != nil || got.Container.ID != id {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := c.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func TestAPIList(t *testing.T) {
	t.Parallel()
	c := docker(t)
	name := shared.Name(t)
	cfg := shell("sleep 100")
	cfg.Labels = map[string]string{"topic": name, "other": "1"}
	id := started(t, c, client.ContainerCreateOptions{Name: name, Config: cfg, HostConfig: &container.HostConfig{Binds: []string{name + ":/data"}}})
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", name) })
	stopped := made(t, c, client.ContainerCreateOptions{Name: name + "-2", Config: &container.Config{Labels: map[string]string{"topic": name}}})
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name+"-2") })
	list := func(all bool, filters client.Filters) []container.Summary {
		got, err := c.ContainerList(t.Context(), client.ContainerListOptions{All: all, Filters: filters, Size: true})
		if err != nil {
			t.Fatal(err)
		}
		return got.Items
	}
	byTopic := func() client.Filters { return client.Filters{}.Add("label", "topic="+name) }
	rows := list(true, byTopic())
	if len(rows) != 2 || rows[0].ID != stopped || rows[1].ID != id {
		t.Fatalf("%+v", rows)
	}
	row := rows[1]
	if row.Names[0] != "/"+name || row.Image != testkit.Image || row.State != "running" || !strings.HasPrefix(row.Status, "Up ") || row.Command != "sh -c 'sleep 100'" ||
		row.Labels["other"] != "1" || row.SizeRootFs == 0 || len(row.Mounts) != 1 || row.Mounts[0].Name != name || row.HostConfig.NetworkMode != "bridge" ||
		!row.NetworkSettings.Networks["bridge"].IPAddress.IsValid() {
		t.Errorf("%+v", row)
	}
	if rows = list(false, byTopic()); len(rows) != 1 || rows[0].ID != id {
		t.Errorf("running: %+v", rows)
	}
	for key, value := range map[string]string{"status": "created", "before": id + "x"} {
		_, err := c.ContainerList(t.Context(), client.ContainerListOptions{Filters: byTopic().Add(key, value)})
		if (err == nil) != (key == "status") {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if _, err := c.ContainerList(t.Context(), client.ContainerListOptions{Filters: client.Filters{}.Add("nosuch", "x")}); err == nil || !strings.Contains(err.Error(), "invalid filter 'nosuch'") {
		t.Error(err)
	}
}

// TestAPIInspectMakesTheSame: a container that is made from what inspect says of another (as Watchtower does) is its equal.
func TestAPIInspectMakesTheSame(t *testing.T) {
	t.Parallel()
	c := docker(t)
	name := shared.Name(t)
	dir := t.TempDir()
	cfg := shell("sleep 100")
	cfg.Env, cfg.Labels, cfg.WorkingDir, cfg.StopSignal = []string{"A=1"}, map[string]string{"l": "v"}, "/tmp", "SIGINT"
	yes := true
	first := made(t, c, client.ContainerCreateOptions{Name: name, Config: cfg, HostConfig: &container.HostConfig{
		NetworkMode: "none", Binds: []string{dir + ":/host:ro"}, Tmpfs: map[string]string{"/run": "size=1m"}, CapDrop: []string{"NET_RAW"}, ReadonlyRootfs: true,
		Init: &yes, IpcMode: "private", ExtraHosts: []string{"a:1.2.3.4"}, RestartPolicy: container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2},
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}}, ShmSize: 1 << 20, SecurityOpt: []string{"no-new-privileges"}}})
	before, err := c.ContainerInspect(t.Context(), first, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second := made(t, c, client.ContainerCreateOptions{Name: name + "-2", Config: before.Container.Config, HostConfig: before.Container.HostConfig})
	t.Cleanup(func() { shared.Try(t, "rm", "-f", name+"-2") })
	after, err := c.ContainerInspect(t.Context(), second, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]any{"Config": {before.Container.Config, after.Container.Config}, "HostConfig": {before.Container.HostConfig, after.Container.HostConfig}} {
		a, _ := json.MarshalIndent(pair[0], "", " ")
		b, _ := json.MarshalIndent(pair[1], "", " ")
		if !bytes.Equal(a, b) {
			t.Errorf("%s:\n%s\n%s", what, a, b)
		}
	}
	if h := after.Container.HostConfig; !h.ReadonlyRootfs || h.Binds[0] != dir+":/host:ro" || h.Tmpfs["/run"] != "size=1048576" && h.Tmpfs["/run"] != "size=1m" || h.RestartPolicy.MaximumRetryCount != 2 {
		t.Errorf("%+v", h)
	}
}

func TestAPIUpdateTopStats(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell(trapping)})
	if _, err := c.ContainerUpdate(t.Context(), id, client.ContainerUpdateOptions{RestartPolicy: &container.RestartPolicy{Name: "unless-stopped"}}); err != nil {
		t.Error(err)
	}
	if policy := field(t, id, "{{.HostConfig.RestartPolicy.Name}}"); policy != "unless-stopped" {
		t.Error(policy)
	}
	if _, err := c.ContainerUpdate(t.Context(), id, client.ContainerUpdateOptions{Resources: &container.Resources{CPUCount: 1}}); err == nil || !strings.Contains(err.Error(), "CpuCount is not supported") {
		t.Error(err)
	}
	top, err := c.ContainerTop(t.Context(), id, client.ContainerTopOptions{Arguments: []string{"-o", "pid,args"}})
	if err != nil && !strings.Contains(err.Error(), "no ps on this machine") || err == nil && (len(top.Titles) != 2 || !strings.Contains(fmt.Sprint(top.Processes), "sleep 1000")) {
		t.Errorf("%+v %v", top, err)
	}
	for _, stream := range []bool{false, true} {
		stats, err := c.ContainerStats(t.Context(), id, client.ContainerStatsOptions{Stream: stream, IncludePreviousSample: !stream})
		if err != nil {
			t.Fatal(err)
		}
		var doc container.StatsResponse
		dec := json.NewDecoder(stats.Body)
		if err := dec.Decode(&doc); err != nil || doc.ID != id || doc.PidsStats.Current < 1 || doc.CPUStats.SystemUsage == 0 {
			t.Errorf("stream %v: %+v %v", stream, doc, err)
		}
		if !stream && (doc.PreCPUStats.SystemUsage == 0 || doc.PreCPUStats.SystemUsage > doc.CPUStats.SystemUsage || !doc.PreRead.Before(doc.Read)) {
			t.Errorf("nothing to compare with: %+v", doc)
		}
		stats.Body.Close()
	}
}

func TestAPIFiles(t *testing.T) {
	t.Parallel()
	c := docker(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell("mkdir /d; ln -s /d /l; sleep 1000")})
	testkit.Eventually(t, "/l is there", func() bool {
		got, err := c.ContainerStatPath(t.Context(), id, client.ContainerStatPathOptions{Path: "/l"})
		return err == nil && got.Stat.LinkTarget == "/d" && got.Stat.Mode&os.ModeSymlink != 0 && got.Stat.Name == "l"
	})
	put := func(dir string, entries ...tar.Header) error {
		_, err := c.CopyToContainer(t.Context(), id, client.CopyToContainerOptions{DestinationPath: dir, Content: packed(t, entries...), AllowOverwriteDirWithFile: true})
		return err
	}
	if err := put("/d", tar.Header{Name: "f", Size: 4, Mode: 0o640}); err != nil {
		t.Fatal(err)
	}
	if got := shared.Must(t, "exec", id, "stat", "-c", "%a %s", "/d/f"); got != "640 4" {
		t.Error(got)
	}
	got, err := c.CopyFromContainer(t.Context(), id, client.CopyFromContainerOptions{SourcePath: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Content.Close()
	if names := namesIn(t, got.Content); names != "d/ d/f" || !got.Stat.Mode.IsDir() {
		t.Errorf("%q %v", names, got.Stat.Mode)
	}
	if err := put("/nosuch", tar.Header{Name: "f"}); !strings.Contains(fmt.Sprint(err), "Could not find the file /nosuch in container "+id) {
		t.Error(err)
	}
	if _, err := c.CopyFromContainer(t.Context(), id, client.CopyFromContainerOptions{SourcePath: "/nosuch"}); !strings.Contains(fmt.Sprint(err), "Could not find the file /nosuch") {
		t.Error(err)
	}
	changes, err := c.ContainerDiff(t.Context(), id, client.ContainerDiffOptions{})
	if err != nil || !strings.Contains(fmt.Sprint(changes.Changes), "/d/f") {
		t.Errorf("%v %v", changes.Changes, err)
	}
	tree, err := c.ContainerExport(t.Context(), id, client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if names := namesIn(t, tree); !strings.Contains(names, " d/f ") {
		t.Error(names)
	}
}

// TestAPIArchiveStaysInside: neither the path of a request nor an entry of an archive leads out of the container.
func TestAPIArchiveStaysInside(t *testing.T) {
	t.Parallel()
	c := docker(t)
	outside := t.TempDir()
	os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644)
	id := started(t, c, client.ContainerCreateOptions{Config: shell("ln -s " + outside + " /out; ln -s ../../../../../../.." + outside + " /up; sleep 1000")})
	testkit.Eventually(t, "the links are there", func() bool { return shared.Try(t, "exec", id, "test", "-L", "/up").Code == 0 })
	for _, path := range []string{outside + "/secret", "/out/secret", "/up/secret", "/../../.." + outside + "/secret", "/proc/1/root/.." + outside + "/secret", "/proc/self/root" + outside + "/secret"} {
		if got, err := c.CopyFromContainer(t.Context(), id, client.CopyFromContainerOptions{SourcePath: path}); err == nil {
			t.Errorf("%s: read %q", path, namesIn(t, got.Content))
			got.Content.Close()
		}
	}
	for _, entry := range []tar.Header{{Name: "../../../../.." + outside + "/evil"}, {Name: outside + "/evil"}, {Name: "out/evil"}, {Name: "up/evil"},
		{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../../.." + outside + "/secret"}} {
		c.CopyToContainer(t.Context(), id, client.CopyToContainerOptions{DestinationPath: "/", Content: packed(t, entry)})
	}
	for _, dir := range []string{"/out", "/up"} {
		c.CopyToContainer(t.Context(), id, client.CopyToContainerOptions{DestinationPath: dir, Content: packed(t, tar.Header{Name: "evil"})})
	}
	entries, _ := os.ReadDir(outside)
	data, _ := os.ReadFile(filepath.Join(outside, "secret"))
	if len(entries) != 1 || string(data) != "secret" {
		t.Errorf("outside there is %v now, with %q", entries, data)
	}
}

// packed is an archive of files with as many x in them as their headers say.
func packed(t testing.TB, entries ...tar.Header) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := range entries {
		if err := w.WriteHeader(&entries[i]); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, strings.Repeat("x", int(entries[i].Size)))
	}
	w.Close()
	return &buf
}

func namesIn(t testing.TB, archive io.Reader) string {
	t.Helper()
	var names []string
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(names, " ")
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}
