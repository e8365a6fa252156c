package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// volume is a volume name for this test, removed at its end.
func volume(t *testing.T) string {
	name := strings.NewReplacer("/", "-").Replace(strings.ToLower(t.Name())) + "-vol"
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", name) })
	return name
}

// seen runs a script with mounts, where the sources lie in the directory base, which DIR stands for.
func seen(t *testing.T, base, script string, flags ...string) string {
	t.Helper()
	args := runArgs(script, flags...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", base)
	}
	return shared.Must(t, args...)
}

func TestBindMounts(t *testing.T) {
	t.Parallel()
	base := dir(t)
	for _, name := range []string{"a", "sp ace", "co:lon", "com,ma"} {
		os.Mkdir(filepath.Join(base, name), 0o755)
		os.WriteFile(filepath.Join(base, name, "f"), []byte("in "+name), 0o644)
	}
	const options = ` | tr ',' '\n' | grep -xE 'ro|rw|noexec|nosuid|nodev' | sort | tr '\n' ' '`
	const mountOptions = `awk '$2=="/x"{print $4}' /proc/mounts` + options
	for name, c := range map[string]struct {
		flags        []string
		script, want string
	}{
		"v":              {[]string{"-v", "DIR/a:/x"}, "cat /x/f; echo w >/x/w; cat /x/w", "in aw"},
		"v-ro":           {[]string{"-v", "DIR/a:/x:ro"}, "cat /x/f; touch /x/no 2>/dev/null || echo ' ro'", "in a ro"},
		"v-options":      {[]string{"-v", "DIR/a:/x:ro,noexec,nosuid,nodev"}, mountOptions, "nodev noexec nosuid ro "},
		"v-file":         {[]string{"-v", "DIR/a/f:/etc/passwd:ro"}, "cat /etc/passwd", "in a"},
		"v-new-file":     {[]string{"-v", "DIR/a/f:/new/dir/file"}, "cat /new/dir/file", "in a"},
		"v-blanks":       {[]string{"-v", "DIR/sp ace:/b c/d e"}, "cat '/b c/d e/f'", "in sp ace"},
		"mount":          {[]string{"--mount", "type=bind,source=DIR/a,target=/x"}, "cat /x/f", "in a"},
		"mount-readonly": {[]string{"--mount", "type=bind,src=DIR/a,dst=/x,readonly"}, "touch /x/no 2>/dev/null || echo ro", "ro"},
		"mount-colon":    {[]string{"--mount", "type=bind,src=DIR/co:lon,destination=/c:d"}, "cat /c:d/f", "in co:lon"},
		"mount-comma":    {[]string{"--mount", `type=bind,"src=DIR/com,ma",dst=/x`}, "cat /x/f", "in com,ma"},
		"inside-another": {[]string{"-v", "DIR/a:/x/y", "-v", "DIR/sp ace:/x"}, "cat /x/f /x/y/f", "in sp acein a"},
		"v-propagation":  {[]string{"-v", "DIR/a:/x:rslave"}, `grep ' /x ' /proc/self/mountinfo | grep -c master:`, "1"},
		"private":        {[]string{"-v", "DIR/a:/x"}, `grep ' /x ' /proc/self/mountinfo | grep -cE 'master:|shared:'; true`, "0"},
		"tmpfs-default":  {[]string{"--tmpfs", "/x"}, mountOptions, "nodev noexec nosuid rw "},
		"tmpfs-exec":     {[]string{"--tmpfs", "/x:exec"}, mountOptions, "nodev nosuid rw "},
		"tmpfs-all":      {[]string{"--tmpfs", "/x:exec,suid,dev"}, mountOptions, "rw "},
		"tmpfs-like":     {[]string{"--tmpfs", "/root"}, "stat -c %a:%u:%g /root", "700:0:0"},
		"tmpfs-like-not": {[]string{"--tmpfs", "/root:mode=711,uid=5"}, "stat -c %a:%u:%g /root", "711:5:0"},
		"tmpfs-new":      {[]string{"--tmpfs", "/x"}, "stat -c %a:%u:%g /x", "1777:0:0"},
		"tmpfs-keep-id":  {[]string{"--tmpfs", "/root", "--userns", "keep-id", "-u", "0"}, "stat -c %a:%u:%g /root", "700:0:0"},
		"mount-tmpfs":    {[]string{"--mount", "type=tmpfs,target=/x,tmpfs-size=2m,tmpfs-mode=1700"}, "stat -c %a /x; df -k /x | awk 'END{print $2}'", "1700\n2048"},
		"tmpfs-ro":       {[]string{"--mount", "type=tmpfs,target=/x,ro"}, mountOptions, "nodev noexec nosuid ro "},
		"read-only-root": {[]string{"--read-only", "-v", "DIR/a:/made/x"}, "cat /made/x/f", "in a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, name, seen(t, base, c.script, c.flags...), c.want)
		})
	}
}

func TestBindSources(t *testing.T) {
	t.Parallel()
	base := dir(t)
	seen(t, base, "touch /x/f", "-v", "DIR/made/by/v:/x")
	if _, err := os.Stat(filepath.Join(base, "made/by/v/f")); err != nil {
		t.Error("-v did not make its missing source:", err)
	}
	r := shared.MustFail(t, 125, "does not exist", "run", "--rm", "--mount", "type=bind,src="+base+"/none,dst=/x", testkit.Image, "true")
	if !strings.Contains(r.Stderr, base+"/none") {
		t.Errorf("the source is not named: %s", r.Stderr)
	}
	if _, err := os.Stat(filepath.Join(base, "none")); err == nil {
		t.Error("--mount made its missing source")
	}

	// Relative to the caller's directory, also when wherry joins a namespace, which changes it.
	cmd := shared.Command(t.Context(), runArgs("echo rel >/x/rel", "-v", "./sub:/x")...)
	cmd.Dir = base
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if data, _ := os.ReadFile(filepath.Join(base, "sub/rel")); string(data) != "rel\n" {
		t.Errorf("a relative source: %q", data)
	}
	if name := shared.Try(t, "volume", "exists", "sub"); name.Code == 0 {
		t.Error("a relative source became a volume")
	}
}

func TestPropagationFromHost(t *testing.T) {
	t.Parallel()
	base, name := dir(t), shared.Name(t)
	r := shared.Try(t, "run", "-d", "--name", name, "--network", "none", "-v", base+":/x:shared", testkit.Image, "sleep", "1000")
	if r.Code != 0 && strings.Contains(r.Stderr, "shared") {
		return // not a shared mount here: it is refused, not dropped
	}
	want(t, "shared", shared.Must(t, "exec", name, "sh", "-c", "grep ' /x ' /proc/self/mountinfo | grep -c shared:"), "1")
}

func TestCopyUp(t *testing.T) {
	t.Parallel()
	from := image(t, []entry{{name: "data/", mode: 0o750, uid: 1000, gid: 29}, {name: "data/f", content: "from image", mode: 0o640, uid: 1000, gid: 29},
		{name: "data/suid", content: "x", mode: 0o4755}, {name: "data/link", link: "f"}, {name: "data/sub/", mode: 0o711, uid: 1}}, "VOLUME /data")
	const look = `cd /data; stat -c '%n %a %u:%g' . f suid sub; readlink link; cat f`
	const full = ". 750 1000:29\nf 640 1000:29\nsuid 4755 0:0\nsub 711 1:0\nf\nfrom image"
	run := func(flags ...string) string {
		return shared.Must(t, append(append([]string{"run", "--rm", "--network", "none"}, flags...), from, "sh", "-c", look)...)
	}
	vol := volume(t)
	want(t, "the image's VOLUME", run(), full)
	want(t, "a named volume", run("-v", vol+":/data"), full)
	want(t, "keep-id", run("--userns", "keep-id", "--user", "0", "-v", vol+"k:/data"), full)
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", vol+"k", vol+"n") })
	shared.Must(t, "run", "--rm", "-v", vol+":/data", from, "sh", "-c", "echo changed >/data/f; rm /data/suid")
	want(t, "not copied twice", shared.Must(t, "run", "--rm", "-v", vol+":/data", from, "sh", "-c", "cat /data/f; ls /data/suid 2>/dev/null || echo gone"), "changed\ngone")
	want(t, "nocopy", shared.Must(t, "run", "--rm", "-v", vol+"n:/data:nocopy", from, "ls", "-A", "/data"), "")
	want(t, "volume-nocopy", shared.Must(t, "run", "--rm", "--mount", "type=volume,dst=/data,volume-nocopy", from, "ls", "-A", "/data"), "")
	want(t, "a bind mount is not filled", shared.Must(t, "run", "--rm", "-v", dir(t)+":/data", from, "ls", "-A", "/data"), "")
}

func TestAnonymousVolumes(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	from := image(t, nil, "VOLUME /a", "VOLUME /b")
	shared.Must(t, "run", "--name", name, "-v", "/own", "--tmpfs", "/b", from, "true")
	vols := strings.Fields(inspected(t, name, `{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}={{.Destination}} {{end}}{{end}}`))
	if len(vols) != 2 {
		t.Fatalf("want volumes at /a and /own, not at /b: %v", vols)
	}
	shared.Must(t, "rm", name)
	for _, v := range vols {
		id, _, _ := strings.Cut(v, "=")
		want(t, "kept by rm", shared.Must(t, "volume", "inspect", "--format", "{{.Name}}", id), id)
		shared.Must(t, "volume", "rm", id)
	}
	shared.Must(t, "create", "--name", name, from, "true")
	id := inspected(t, name, `{{range .Mounts}}{{if eq .Destination "/a"}}{{.Name}}{{end}}{{end}}`)
	shared.Must(t, "rm", "-v", name)
	if shared.Try(t, "volume", "exists", id).Code == 0 {
		t.Error("rm -v kept an anonymous volume")
	}
}

func TestVolumeSubpath(t *testing.T) {
	t.Parallel()
	vol := volume(t)
	inside(t, "mkdir -p /v/sub/dir; echo deep >/v/sub/dir/f; ln -s /etc /v/out; ln -s ../../../../../../etc /v/up; ln -s sub /v/in", "-v", vol+":/v")
	mount := func(sub string) string { return "type=volume,src=" + vol + ",dst=/x,volume-subpath=" + sub }
	want(t, "a directory", inside(t, "cat /x/f", "--mount", mount("sub/dir")), "deep")
	want(t, "a file", inside(t, "cat /x", "--mount", mount("sub/dir/f")), "deep")
	want(t, "a link inside", inside(t, "cat /x/dir/f", "--mount", mount("in")), "deep")
	for _, sub := range []string{"out", "up", "none"} {
		shared.MustFail(t, 125, "has no \""+sub+"\"", append([]string{"run", "--rm", "--mount", mount(sub)}, testkit.Image, "ls", "/x")...)
	}
	for _, sub := range []string{"../x", "/etc", "a/../../b"} {
		shared.MustFail(t, 125, "not a path inside the volume", append([]string{"run", "--rm", "--mount", mount(sub)}, testkit.Image, "ls", "/x")...)
	}
}

func TestVolumeCommands(t *testing.T) {
	store, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	want(t, "create", store.Must(t, "volume", "create", "--label", "a=b", "one"), "one")
	store.Must(t, "volume", "create", "--label", "a=c", "two")
	anon := store.Must(t, "volume", "create")
	if len(anon) != 64 {
		t.Errorf("a volume without a name: %q", anon)
	}
	store.Must(t, "create", "--name", "user", "-v", "two:/v", testkit.Image)
	ls := func(filters ...string) string {
		args := []string{"volume", "ls", "-q"}
		for _, f := range filters {
			args = append(args, "--filter", f)
		}
		return strings.Join(strings.Fields(strings.ReplaceAll(store.Must(t, args...), anon, "ANON")), " ")
	}
	for filter, wanted := range map[string]string{"label=a": "one two", "label=a=b": "one", "name=tw": "two", "dangling=false": "two", "driver=local": "ANON one two"} {
		if got := strings.Fields(ls(filter)); len(got) != len(strings.Fields(wanted)) || !strings.Contains(" "+strings.Join(got, " ")+" ", " "+strings.Fields(wanted)[0]+" ") {
			t.Errorf("ls --filter %s: got %v, want %s", filter, got, wanted)
		}
	}
	want(t, "inspect", store.Must(t, "volume", "inspect", "--format", `{{.Name}} {{.Driver}} {{index .Labels "a"}}`, "one"), "one local b")
	mountpoint := store.Must(t, "volume", "inspect", "--format", "{{.Mountpoint}}", "one")
	store.Must(t, "run", "--rm", "-v", "one:/v", testkit.Image, "sh", "-c", "echo x >/v/f")
	if data, err := os.ReadFile(filepath.Join(mountpoint, "f")); string(data) != "x\n" {
		t.Errorf("the mount point %s does not hold the data: %v", mountpoint, err)
	}
	store.MustFail(t, 1, "in use by user", "volume", "rm", "two")
	store.Must(t, "volume", "prune", "-f")
	want(t, "after prune", ls(), "one two")
	store.Must(t, "volume", "prune", "-f", "--all")
	want(t, "after prune --all", ls(), "two")
	store.Must(t, "volume", "rm", "-f", "two")
	want(t, "after rm -f of a used one", ls(), "")
	want(t, "exists", store.Must(t, "ps", "-aq"), "")
	if code := store.Try(t, "volume", "exists", "two").Code; code != 1 {
		t.Errorf("exists: %d", code)
	}
}
