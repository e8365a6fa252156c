package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// uidMap is the mapping of a container's first process, as one without a namespace of its own sees it: inside, outside,
// size of each line.
func uidMap(t *testing.T, ctr string) [][3]int {
	t.Helper()
	data, err := os.ReadFile("/proc/" + inspected(t, ctr, "{{.State.Pid}}") + "/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	var lines [][3]int
	for line := range strings.Lines(string(data)) {
		var l [3]int
		if n, _ := fmt.Sscan(line, &l[0], &l[1], &l[2]); n == 3 {
			lines = append(lines, l)
		}
	}
	return lines
}

// mapText is /proc/self/uid_map without its columns.
func mapText(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Join(strings.Fields(line), ":"))
	}
	return strings.Join(lines, " ")
}

func needUserNS(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("without root only")
	}
}

// Each mapping that can be asked for, as the kernel shows it inside. Outside ids are those of the user's own namespace.
//
// flag: run, create --uidmap --gidmap --subuidname --subgidname --userns
func TestIDMaps(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	me := strconv.Itoa(os.Getuid())
	id, _ := strconv.Atoi(me)
	for name, c := range map[string]struct {
		flags []string
		want  string
	}{
		"uidmap":        {[]string{"--uidmap", "0:1:1000"}, "0:1:1000"},
		"two":           {[]string{"--uidmap", "0:1:1000", "--uidmap", "1000:0:1"}, "0:1:1000 1000:0:1"},
		"host id":       {[]string{"--uidmap", "0:1:500", "--uidmap", "500:@" + me}, "0:1:500 500:0:1"},
		"extended":      {[]string{"--uidmap", "0:0:1000", "--uidmap", "+700:5"}, "0:0:1 1:1:4 6:6:694 700:5:1 701:701:299"},
		"gidmap":        {[]string{"--gidmap", "0:1:800"}, "0:1:800"},
		"gid alone":     {[]string{"--gidmap", "+g900:3"}, "0:0:1 1:1:65536"},
		"subuidname":    {[]string{"--subuidname", userName(t)}, "0:1:65536"},
		"subgidname":    {[]string{"--subgidname", userName(t)}, "0:1:65536"},
		"keep-id size":  {[]string{"--userns", "keep-id:size=3000"}, fmt.Sprintf("0:1:%d %d:0:1 %d:%d:%d", id, id, id+1, id+1, 3000-id-1)},
		"private":       {[]string{"--userns", "private"}, "0:0:1 1:1:65536"},
		"auto with own": {[]string{"--userns", "auto:size=300,uidmapping=7:0:1,gidmapping=7:0:1"}, "0:START:7 7:0:1 8:START+8:292"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.want == "0:0:1 1:1:65536" || strings.HasPrefix(name, "sub") {
				if subordinate(t, 65536) == "-1:-1" || subordinate(t, 65537) != "-1:-1" {
					t.Skip("the user has not 65536 subordinate ids")
				}
			}
			got := mapText(inside(t, "cat /proc/self/uid_map", c.flags...))
			if strings.Contains(c.want, "START") {
				var start int
				fmt.Sscanf(got, "0:%d:", &start)
				c.want = strings.ReplaceAll(strings.ReplaceAll(c.want, "START+8", strconv.Itoa(start+8)), "START", strconv.Itoa(start))
			}
			want(t, "mapping", got, c.want)
		})
	}
}

func userName(t *testing.T) string {
	t.Helper()
	data, _ := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == strconv.Itoa(os.Getuid()) {
			return f[0]
		}
	}
	t.Skip("the user is not in /etc/passwd")
	return ""
}

func TestIDMapErrors(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	for _, c := range []struct {
		flag, value, text string
	}{
		{"--uidmap", "0:1:0", `--uidmap "0:1:0": there are no such ids`},
		{"--uidmap", "x", "--uidmap"},
		{"--uidmap", "0:100000000:10", "ids 100000000 to 100000009 are not among those you have"},
		{"--uidmap", "0:@1:10", "ids 1 to 10 of the machine are not all yours"},
		{"--subuidname", "nosuchname", "/etc/subuid has no line for that name"},
		{"--userns", "auto:size=4000000000", "no 4000000000 ids in a row are free"},
		{"--userns", "container:nosuch", `no container "nosuch"`},
		{"--userns", "ns:/nosuch", "no such file"},
		{"--userns", "ns:/proc/self/ns/pid", "it is no user namespace"},
		{"--userns", "keep-id:size=4000000", "(add a larger range"},
		{"--userns", "other", "it is host, private"},
	} {
		shared.MustFail(t, 125, c.text, "run", "--rm", c.flag, c.value, testkit.Image, "true")
	}
	shared.MustFail(t, 125, "--userns keep-id does not go with --uidmap", "run", "--rm", "--userns", "keep-id", "--uidmap", "0:1:10", testkit.Image, "true")
	shared.MustFail(t, 125, "do not go with --uidmap", "run", "--rm", "--subuidname", "x", "--uidmap", "0:1:10", testkit.Image, "true")
}

// Containers with --userns auto have ids of their own: what one writes belongs to nobody of the others.
func TestAutoOwnership(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	shares := dir(t)
	os.Chmod(shares, 0o777)
	owners := map[string]bool{}
	for i := range 2 {
		ctr := shared.Name(t) + strconv.Itoa(i)
		t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", ctr) })
		made := fmt.Sprintf("made%d", i)
		shared.Must(t, "run", "-d", "--network", "none", "--name", ctr, "--userns", "auto:size=2000", "-v", shares+":/s", testkit.Image,
			"sh", "-c", "touch /s/"+made+"; sleep 1000")
		testkit.Eventually(t, "the file made", func() bool { _, err := os.Lstat(filepath.Join(shares, made)); return err == nil })
		lines := uidMap(t, ctr)
		if len(lines) != 1 || lines[0][0] != 0 || lines[0][2] != 2000 {
			t.Fatalf("mapping: %v", lines)
		}
		uid := strings.Split(owner(t, filepath.Join(shares, made)), ":")[0]
		want(t, "the container's file on the host", uid, strconv.Itoa(lines[0][1]))
		want(t, "the container's file inside", shared.Must(t, "exec", ctr, "stat", "-c", "%u", "/s/"+made), "0")
		want(t, "the image's file inside", shared.Must(t, "exec", ctr, "stat", "-c", "%u:%g", "/bin/busybox"), "0:0")
		root := "/proc/" + inspected(t, ctr, "{{.State.Pid}}") + "/root/bin/busybox"
		want(t, "the image's file on the host", strings.Split(owner(t, root), ":")[0], uid)
		if owners[uid] {
			t.Errorf("both containers are %s on the host", uid)
		}
		owners[uid] = true
		if uid == strconv.Itoa(os.Getuid()) {
			t.Error("its root is the user himself")
		}
	}
	// Neither can write what the other one made.
	r := shared.Try(t, "exec", shared.Name(t)+"1", "sh", "-c", "echo x >/s/made0")
	if r.Code == 0 {
		t.Error("one wrote the file of the other")
	}
}

// Allocations made at the same time, with some of the creators killed, never overlap; those of removed containers are
// given again.
func TestAutoIsExclusive(t *testing.T) {
	needUserNS(t)
	if os.Getenv("WHERRY_FAULT_BIN") == "" {
		t.Skip("WHERRY_FAULT_BIN is not set (make test sets it)")
	}
	t.Parallel()
	s, done, err := testkit.Open("fault")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	const many = 12
	var wg sync.WaitGroup
	for i := range many {
		wg.Add(1)
		go func() {
			defer wg.Done()
			st := s
			if i%3 == 0 {
				st = s.With("WHERRY_FAULT=kill:" + []string{"userns.claimed", "create.config"}[i/3%2])
			}
			st.Try(t, "create", "--name", "n"+strconv.Itoa(i), "--userns", "auto:size=1500", testkit.Image, "true")
		}()
	}
	wg.Wait()
	spans := map[int]string{}
	for i := range many {
		r := s.Try(t, "inspect", "--format", "{{json .HostConfig.IDMappings}}", "n"+strconv.Itoa(i))
		if r.Code != 0 {
			continue // it was killed
		}
		var start, size int
		text := r.Out()
		if at := strings.Index(text, `"0:`); at < 0 {
			t.Fatalf("no mapping: %s", text)
		} else if n, _ := fmt.Sscanf(text[at:], `"0:%d:%d"`, &start, &size); n != 2 || size != 1500 {
			t.Fatalf("mapping: %s", text)
		}
		if other, ok := spans[start]; ok {
			t.Errorf("n%d and %s both have ids from %d on", i, other, start)
		}
		spans[start] = "n" + strconv.Itoa(i)
	}
	for a := range spans {
		for b := range spans {
			if a < b && b < a+1500 {
				t.Errorf("%s (from %d) and %s (from %d) overlap", spans[a], a, spans[b], b)
			}
		}
	}
	if len(spans) < many/2 {
		t.Errorf("only %d containers were made", len(spans))
	}
	s.Must(t, "ps", "-a") // removes what the killed ones left
	s.Must(t, "rm", "-f", "-a")
	s.Must(t, "create", "--name", "again", "--userns", "auto:size=1500", testkit.Image, "true")
	if left, _ := os.ReadDir(filepath.Join(s.Data, "userns")); len(left) != 1 {
		t.Errorf("claims left: %v", left)
	}
}

// The size of --userns auto follows the image's users and the one that is asked for.
func TestAutoSize(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	for user, want := range map[string]string{"": "1024", "5000": "5001", "5:6000": "6001"} {
		args := []string{"--userns", "auto"}
		if user != "" {
			args = append(args, "--user", user)
		}
		if got := strings.Fields(inside(t, "cat /proc/self/uid_map", args...)); len(got) != 3 || got[2] != want {
			t.Errorf("user %q: %v, want %s ids", user, got, want)
		}
	}
}

// A container in the user namespace of another one has the same ids.
func TestUserNSOfAnother(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	ctr := shared.Name(t)
	shared.Must(t, "run", "-d", "--network", "none", "--name", ctr, "--userns", "auto:size=1200", testkit.Image, "sleep", "1000")
	pid := inspected(t, ctr, "{{.State.Pid}}")
	first, _ := os.ReadFile("/proc/" + pid + "/uid_map")
	for _, mode := range []string{"container:" + ctr, "ns:/proc/" + pid + "/ns/user"} {
		got := inside(t, "ls -l /proc/self/ns/user; stat -c %u:%g /bin/busybox; touch /made; stat -c %u /made", "--userns", mode)
		link, _ := os.Readlink("/proc/" + pid + "/ns/user")
		if !strings.Contains(got, link) || !strings.HasSuffix(got, "0:0\n0") {
			t.Errorf("%s: %s, want %s", mode, got, link)
		}
	}
	second := shared.Name(t) + "2"
	shared.Must(t, "run", "-d", "--network", "none", "--name", second, "--userns", "container:"+ctr, testkit.Image, "sleep", "1000")
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", second) })
	other, _ := os.ReadFile("/proc/" + inspected(t, second, "{{.State.Pid}}") + "/uid_map")
	want(t, "mapping", string(other), string(first))
	shared.Must(t, "stop", "-t", "0", ctr)
	shared.MustFail(t, 125, "it is not running", "run", "--rm", "--userns", "container:"+ctr, testkit.Image, "true")
}

// A volume that a container with ids of its own makes is its, inside and on the host; U gives it to another user.
func TestVolumesOfUserNS(t *testing.T) {
	needUserNS(t)
	t.Parallel()
	ctr := shared.Name(t)
	vol := ctr + "-vol"
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", vol) })
	shared.Must(t, "run", "-d", "--network", "none", "--name", ctr, "--userns", "auto", "-v", vol+":/data", testkit.Image, "sh", "-c", "touch /data/f; sleep 1000")
	base := uidMap(t, ctr)[0][1]
	place := shared.Must(t, "volume", "inspect", "--format", "{{.Mountpoint}}", vol)
	testkit.Eventually(t, "the file made", func() bool { _, err := os.Lstat(filepath.Join(place, "f")); return err == nil })
	want(t, "inside", shared.Must(t, "exec", ctr, "stat", "-c", "%u:%g", "/data", "/data/f"), "0:0\n0:0")
	want(t, "on the host", strings.Split(owner(t, filepath.Join(place, "f")), ":")[0], strconv.Itoa(base))

	other := ctr + "-u"
	t.Cleanup(func() { shared.Try(t, "rm", "-f", "-t", "0", other) })
	shared.Must(t, "run", "-d", "--network", "none", "--name", other, "--userns", "auto", "--user", "42:43", "-v", vol+":/data:U", testkit.Image, "sleep", "1000")
	want(t, "inside with U", shared.Must(t, "exec", other, "stat", "-c", "%u:%g", "/data", "/data/f"), "42:43\n42:43")
	want(t, "on the host with U", strings.Split(owner(t, filepath.Join(place, "f")), ":")[0], strconv.Itoa(uidMap(t, other)[0][1]+42))
}

// Users that the image does not know get a line in its files, unless nobody wants that.
//
// flag: run, create --passwd-entry --group-entry --hostuser
// flag: run --passwd
func TestAccounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags        []string
		script, want string
	}{
		"unknown":     {[]string{"--user", "4242:4243"}, "whoami; grep -c ^4243: /etc/group", "4242\n1"},
		"off":         {[]string{"--user", "4242", "--passwd=false"}, "grep -c 4242 /etc/passwd /etc/group", "/etc/passwd:0\n/etc/group:0"},
		"known":       {nil, "grep -c root: /etc/passwd", "1"},
		"entry":       {[]string{"--user", "4242", "--passwd-entry", "bob:x:$UID:$GID:$NAME:/tmp:/bin/sh"}, "whoami; tail -1 /etc/passwd", "bob\nbob:x:4242:0:container user:/tmp:/bin/sh"},
		"group entry": {[]string{"--user", "4242:77", "--group-entry", "crew:x:$GID:$USERLIST"}, "tail -1 /etc/group", "crew:x:77:4242"},
		"host user":   {[]string{"--hostuser", "root", "--hostuser", "man"}, "grep -c ^root: /etc/passwd; grep -c ^man: /etc/passwd", "1\n1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, "files", strings.TrimSpace(shared.Try(t, runArgs(c.script, c.flags...)...).Stdout), c.want)
		})
	}
	shared.MustFail(t, 125, "the host has no such user", "run", "--rm", "--hostuser", "nosuchuser", testkit.Image, "true")
	if os.Getuid() != 0 {
		want(t, "name under keep-id", inside(t, "whoami", "--userns", "keep-id"), userName(t))
	}
}

// The file that is added to cannot lead out of the container's root.
func TestAccountsStayInside(t *testing.T) {
	t.Parallel()
	victim := file(t, "passwd", "untouched\n")
	img := image(t, []entry{{name: "etc/passwd", link: victim}, {name: "etc/group", link: "../../../../../../.." + victim}})
	shared.Try(t, "run", "--rm", "--network", "none", "--user", "4242", img, "true")
	data, _ := os.ReadFile(victim)
	want(t, "the host's file", string(data), "untouched\n")
}
