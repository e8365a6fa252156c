package system

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
	"github.com/wherry-containers/wherry/test/registry"
)

type deletedImage struct{ Untagged, Deleted string }

// login is the header that a client sends along.
func login(user, password string) string {
	data, _ := json.Marshal(map[string]string{"username": user, "password": password})
	return base64.URLEncoding.EncodeToString(data)
}

// An image goes to a registry and comes back, and the client is told of it as by Docker.
func TestAPIPushPull(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{})
	api := startREST(t, shared)
	name := reg.Host + "/a/pushed"
	api.must(http.StatusCreated, nil, "POST", "/images/"+testkit.Image+"/tag?repo="+name+"&tag=1", nil)
	sent := api.messages("POST", "/images/"+name+"/push?tag=1", "{}", "X-Registry-Auth", "e30=")
	var aux struct {
		Tag, Digest string
		Size        int
	}
	json.Unmarshal(sent[len(sent)-1].Aux, &aux)
	if !said(sent, "The push refers to repository ["+name+"]") || !said(sent, "Pushed") || aux.Tag != "1" || aux.Size == 0 ||
		!strings.HasPrefix(aux.Digest, "sha256:") || !said(sent, "1: digest: "+aux.Digest) {
		t.Errorf("pushed: %+v", sent)
	}
	var gone []deletedImage
	api.must(http.StatusOK, &gone, "DELETE", "/images/"+name+":1", nil)
	if len(gone) != 1 || gone[0].Untagged != name+":1" {
		t.Errorf("removed: %+v", gone)
	}
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name+":1") })
	got := api.messages("POST", "/images/create?fromImage="+name+"&tag=1", nil)
	if !said(got, "Pulling from a/pushed") || !said(got, "Digest: sha256:") || !said(got, "Status: Downloaded newer image for "+name+":1") {
		t.Errorf("pulled: %+v", got)
	}
	if again := api.messages("POST", "/images/create?fromImage="+name+"&tag=1", nil); !said(again, "Image is up to date for "+name+":1") {
		t.Errorf("pulled again: %+v", again)
	}
	if shared.Must(t, "image", "inspect", "-f", "{{.Id}}", name+":1") == "" {
		t.Error("the image is not there")
	}
	var remote struct {
		Descriptor struct{ Digest, MediaType string }
		Platforms  []struct{ Architecture string }
	}
	api.must(http.StatusOK, &remote, "GET", "/distribution/"+name+":1/json", nil)
	if remote.Descriptor.Digest != aux.Digest || len(remote.Platforms) != 1 {
		t.Errorf("distribution: %+v, pushed was %s", remote, aux.Digest)
	}
	// What is not there is an answer with a status, not a stream.
	api.refused(http.StatusNotFound, "not found", "POST", "/images/create?fromImage="+reg.Host+"/a/none&tag=1", nil)
	api.refused(http.StatusNotFound, "An image does not exist locally", "POST", "/images/"+reg.Host+"/a/none/push?tag=1", nil)
	api.refused(http.StatusNotFound, "not there for platform", "POST", "/images/create?fromImage="+name+"&tag=1&platform=linux/s390x", nil)
}

// Log-ins come with the request, and no other client has them.
func TestAPIRegistryLogin(t *testing.T) {
	t.Parallel()
	reg := registry.Start(t, registry.Options{User: "me", Password: "se:cret"})
	api := startREST(t, shared)
	name := reg.Host + "/private"
	api.must(http.StatusCreated, nil, "POST", "/images/"+testkit.Image+"/tag?repo="+name+"&tag=1", nil)
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name+":1") })
	if out := api.messages("POST", "/images/"+name+"/push?tag=1", nil, "X-Registry-Auth", login("me", "se:cret")); said(out, "ErrorDetail:0x") || !said(out, "1: digest:") {
		t.Errorf("push with the log-in: %+v", out)
	}
	wrong := api.messages("POST", "/images/"+name+"/push?tag=1", nil, "X-Registry-Auth", login("me", "wrong"))
	if last := wrong[len(wrong)-1]; last.ErrorDetail == nil || last.Error == "" || strings.Contains(last.Error, "wrong") {
		t.Errorf("push with a wrong log-in: %+v", wrong)
	}
	if status, data := api.do("POST", "/images/create?fromImage="+name+"&tag=1", nil); status == http.StatusOK && !bytes.Contains(data, []byte("errorDetail")) {
		t.Errorf("pull without a log-in: %s", data)
	}
	api.refused(http.StatusBadRequest, "invalid X-Registry-Auth header", "POST", "/images/create?fromImage="+name+"&tag=1", nil, "X-Registry-Auth", "%%%")
	var ok struct{ Status string }
	api.must(http.StatusOK, &ok, "POST", "/auth", map[string]string{"username": "me", "password": "se:cret", "serveraddress": reg.Host})
	if ok.Status != "Login Succeeded" {
		t.Errorf("auth: %+v", ok)
	}
	api.refused(http.StatusUnauthorized, "refuses the user name or password", "POST", "/auth", map[string]string{"username": "me", "password": "x", "serveraddress": reg.Host})
}

// A root file system becomes an image; images are saved together and loaded again under their names.
func TestAPIImportSaveLoad(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	one, two := "api-one:1", "api-two:1"
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", one, two) })
	for _, name := range []string{"api-one", "api-two"} {
		out := api.messages("POST", "/images/create?fromSrc=-&repo="+name+"&tag=1&message=made&changes="+"ENV+WHO="+name, tarball(t, "etc/who", name))
		if !said(out, "sha256:") {
			t.Fatalf("imported: %+v", out)
		}
	}
	if env := shared.Must(t, "image", "inspect", "-f", "{{.Config.Env}}", one); env != "[WHO=api-one]" {
		t.Errorf("environment %s", env)
	}
	answer := api.open("GET", "/images/get?names="+one+"&names="+two, nil)
	archive, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.Header.Get("Content-Type") != "application/x-tar" {
		t.Fatalf("saved: %v, %s", err, answer.Header)
	}
	api.must(http.StatusOK, nil, "DELETE", "/images/"+one, nil)
	api.must(http.StatusOK, nil, "DELETE", "/images/"+two, nil)
	out := api.messages("POST", "/images/load?quiet=0", bytes.NewReader(archive))
	if !said(out, "Loaded image: "+one) || !said(out, "Loaded image: "+two) {
		t.Errorf("loaded: %+v", out)
	}
	if cid := shared.Must(t, "create", "--name", shared.Name(t), one, "x"); cid == "" {
		t.Error("no container of the image that was loaded")
	}
	api.refused(http.StatusBadRequest, "want - (the request's body) or a URL", "POST", "/images/create?fromSrc=file:///etc/passwd", nil)
	api.refused(http.StatusBadRequest, "this is no image", "POST", "/images/load", strings.NewReader("no archive"))
	api.refused(http.StatusNotFound, "No such image: nowhere:latest", "GET", "/images/nowhere/get", nil)
}

// The list says what Docker's says, filtered by what Docker filters by.
func TestAPIImageList(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	name := "api-list:7"
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	api.messages("POST", "/images/create?fromSrc=-&repo=api-list&tag=7&changes=LABEL+kind=listed", tarball(t, "f", "x"))
	list := func(query string) []map[string]any {
		t.Helper()
		var rows []map[string]any
		api.must(http.StatusOK, &rows, "GET", "/images/json"+query, nil)
		return rows
	}
	rows := list(`?filters={"label":["kind=listed"]}`)
	if len(rows) != 1 || rows[0]["RepoTags"].([]any)[0] != name || rows[0]["Labels"].(map[string]any)["kind"] != "listed" ||
		rows[0]["SharedSize"] != -1.0 || rows[0]["Containers"] != 0.0 || rows[0]["Size"] == 0.0 {
		t.Errorf("by label: %v", rows)
	}
	if rows := list(`?filters={"reference":{"api-list":true}}`); len(rows) != 1 { // the form of older clients
		t.Errorf("by reference: %v", rows)
	}
	if rows := list(`?filters={"label":["kind=other"]}`); len(rows) != 0 {
		t.Errorf("by another label: %v", rows)
	}
	for _, bad := range []string{`{"color":["red"]}`, `{`, `{"dangling":["perhaps"]}`, `{"until":["x"]}`} {
		if status, data := api.do("GET", "/images/json?filters="+bad, nil); status != http.StatusBadRequest {
			t.Errorf("filters %s: status %d: %s", bad, status, data)
		}
	}
	var doc struct {
		ID     string `json:"Id"`
		Config struct{ Labels map[string]string }
	}
	api.must(http.StatusOK, &doc, "GET", "/images/"+name+"/json", nil)
	if doc.Config.Labels["kind"] != "listed" || !strings.HasPrefix(doc.ID, "sha256:") {
		t.Errorf("inspect: %+v", doc)
	}
	var steps []struct {
		ID   string `json:"Id"`
		Tags []string
	}
	api.must(http.StatusOK, &steps, "GET", "/images/"+name+"/history", nil)
	if len(steps) != 1 || steps[0].ID != doc.ID || steps[0].Tags[0] != name {
		t.Errorf("history: %+v", steps)
	}
	api.refused(http.StatusNotFound, "does not match the specified platform", "GET", "/images/"+name+`/json?platform={"os":"linux","architecture":"s390x"}`, nil)
}

// What a container stands on stays, and nothing but unused images is pruned.
func TestAPIImageRemove(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	name := "api-used:1"
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name) })
	api.messages("POST", "/images/create?fromSrc=-&repo=api-used&tag=1&changes=LABEL+prune=me", tarball(t, "f", "used"))
	cid := shared.Must(t, "create", "--name", shared.Name(t), name, "x")
	api.refused(http.StatusConflict, "in use by container", "DELETE", "/images/"+name, nil)
	api.refused(http.StatusNotFound, "No such image: none-of-it:latest", "DELETE", "/images/none-of-it?force=1", nil)
	api.must(http.StatusOK, nil, "POST", `/images/prune?filters={"dangling":["false"],"label":["prune=me"]}`, nil)
	shared.Must(t, "image", "exists", name)
	shared.Must(t, "rm", cid)
	var report struct {
		ImagesDeleted  []deletedImage
		SpaceReclaimed int64
	}
	api.must(http.StatusOK, &report, "POST", `/images/prune?filters={"dangling":["false"],"label":["prune=me"]}`, nil)
	if len(report.ImagesDeleted) != 2 || report.ImagesDeleted[0].Untagged != name || !strings.HasPrefix(report.ImagesDeleted[1].Deleted, "sha256:") {
		t.Errorf("pruned: %+v", report)
	}
	if shared.Try(t, "image", "exists", name).Code == 0 {
		t.Error("the image is still there")
	}
}

// A container becomes an image, with what the request says of it.
func TestAPICommit(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	cid := shared.Must(t, "run", "-d", "--name", shared.Name(t), testkit.Image, "sh", "-c", "echo kept > /kept; sleep 1000")
	testkit.Eventually(t, "the file", func() bool { return shared.Try(t, "exec", cid, "test", "-s", "/kept").Code == 0 })
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", "api-made:1") })
	var made struct{ ID string }
	api.must(http.StatusCreated, &made, "POST", "/commit?container="+cid+"&repo=api-made&tag=1&author=me&comment=why&changes=LABEL+a=b%0AENV+X=1",
		map[string]any{"Cmd": []string{"cat", "/kept"}})
	if out := shared.Must(t, "run", "--rm", "api-made:1"); out != "kept" {
		t.Errorf("the image runs %q", out)
	}
	if got := shared.Must(t, "image", "inspect", "-f", "{{.Id}} {{.Author}} {{.Comment}} {{.Config.Labels.a}}", "api-made:1"); got != made.ID+" me why b" {
		t.Errorf("image %q, answered %q", got, made.ID)
	}
	api.refused(http.StatusNotFound, "No such container: nobody", "POST", "/commit?container=nobody", nil)
	api.refused(http.StatusBadRequest, "", "POST", "/commit?container="+cid+"&changes=NONSENSE+x", nil)
}

// A service that is killed in the middle of a load leaves the store as it was, and the load can be done again.
func TestAPILoadKilled(t *testing.T) {
	t.Parallel()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Skip(err)
	}
	defer done()
	api := startREST(t, s)
	big := filepath.Join(t.TempDir(), "big.tar")
	s.Must(t, "save", "-o", big, testkit.Image)
	archive, err := os.ReadFile(big)
	if err != nil {
		t.Fatal(err)
	}
	before := s.Must(t, "images", "-q", "--no-trunc")
	r, w := io.Pipe()
	go func() {
		w.Write(archive[:len(archive)/2])
		testkit.Eventually(t, "half of it has arrived", func() bool {
			found, _ := filepath.Glob(filepath.Join(s.Data, "tmp", "s-*", "in-*"))
			return len(found) > 0
		})
		api.kill()
		w.CloseWithError(io.ErrUnexpectedEOF)
	}()
	req, _ := http.NewRequest("POST", "http://api/v1.51/images/load", r)
	if answer, err := api.http.Do(req); err == nil {
		answer.Body.Close()
		t.Errorf("a killed service answered %s", answer.Status)
	}
	if after := s.Must(t, "images", "-q", "--no-trunc"); after != before {
		t.Errorf("images %q, before %q", after, before)
	}
	api.start()
	if out := api.messages("POST", "/images/load", bytes.NewReader(archive)); !said(out, "Loaded image: ") {
		t.Errorf("loaded again: %+v", out)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Data, "tmp", "*")); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}

// What is wrong with a request is said with Docker's status.
func TestAPIImagesBadInput(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	for _, c := range []struct {
		status int
		method string
		path   string
		body   any
	}{
		{400, "POST", "/images/create", nil},
		{400, "POST", "/images/create?fromImage=UPPER", nil},
		{400, "POST", "/images/create?fromImage=a&fromSrc=-", nil},
		{400, "POST", "/images/create?fromImage=a&tag=:::", nil},
		{400, "POST", "/images/create?fromImage=a&platform=a/b/c/d", nil},
		{400, "POST", "/images/create?fromImage=a&repo=b", nil},
		{400, "POST", "/images/load?platform={}", strings.NewReader("x")},
		{400, "POST", "/images/" + testkit.Image + "/tag", nil},
		{400, "POST", "/images/" + testkit.Image + "/tag?repo=UPPER", nil},
		{404, "POST", "/images/nothere/tag?repo=x", nil},
		{404, "GET", "/images/nothere/json", nil},
		{400, "GET", "/images/search", nil},
		{400, "GET", "/images/search?term=x&limit=many", nil},
		{400, "GET", "/images/get", nil},
		{400, "POST", "/commit", nil},
		{400, "POST", "/commit?container=x", "{"},
		{400, "POST", "/auth", "{"},
		{400, "POST", "/auth", "{}"},
		{404, "GET", "/images/" + strings.Repeat("a/", 100) + "a/json", nil},
	} {
		got, data := api.do(c.method, c.path, c.body)
		var m struct{ Message string }
		if err := json.Unmarshal(data, &m); got != c.status || err != nil || m.Message == "" || strings.Contains(strings.TrimSpace(m.Message), "\n") {
			t.Errorf("%s %s: status %d, want %d with one line: %s", c.method, c.path, got, c.status, data)
		}
	}
}

// docker's own command line, where it is installed.
func TestAPIDockerImages(t *testing.T) {
	t.Parallel()
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("docker's command line is not installed")
	}
	reg := registry.Start(t, registry.Options{})
	api := startREST(t, shared)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(within(t, time.Minute), docker, args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+api.socket, "DOCKER_CONFIG="+t.TempDir(), "DOCKER_BUILDKIT=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	name := reg.Host + "/cli:1"
	t.Cleanup(func() { shared.Try(t, "rmi", "-f", name, "cli-built:1") })
	run("tag", testkit.Image, name)
	run("push", name)
	run("rmi", name)
	if out := run("pull", name); !strings.Contains(out, "Status: Downloaded newer image for "+name) {
		t.Errorf("pull: %s", out)
	}
	file := filepath.Join(t.TempDir(), "s.tar")
	run("save", "-o", file, name)
	run("rmi", name)
	if out := run("load", "-i", file); out != "Loaded image: "+name {
		t.Errorf("load: %s", out)
	}
	if out := run("images", "--format", "{{.Repository}}:{{.Tag}}", reg.Host+"/cli"); out != name {
		t.Errorf("images: %s", out)
	}
	if out := run("system", "df", "--format", "{{.Type}}"); !strings.Contains(out, "Images") || !strings.Contains(out, "Build Cache") {
		t.Errorf("system df: %s", out)
	}
}
