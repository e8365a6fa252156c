package image

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/store"
)

func TestApplyChange(t *testing.T) {
	for change, want := range map[string]string{
		`CMD ["a","b c"]`:                     `{"Cmd":["a","b c"]}`,
		`cmd echo hi`:                         `{"Cmd":["/bin/sh","-c","echo hi"]}`,
		`CMD=/bin/sh`:                         `{"Cmd":["/bin/sh","-c","/bin/sh"]}`,
		`ENTRYPOINT ["x"]`:                    `{"Entrypoint":["x"]}`,
		`ENTRYPOINT [broken`:                  `{"Entrypoint":["/bin/sh","-c","[broken"]}`,
		`ENV A=1 B="two words" C='$x' D=a\ b`: `{"Env":["A=1","B=two words","C=$x","D=a b"]}`,
		`ENV OLD form of it`:                  `{"Env":["OLD=form of it"]}`,
		`ENV A="a\"b\c"`:                      `{"Env":["A=a\"b\\c"]}`,
		`EXPOSE 80 53/UDP 8000-8001/tcp`:      `{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}}}`,
		`LABEL a=b "c d"=e`:                   `{"Labels":{"a":"b","c d":"e"}}`,
		`USER 1000:1000`:                      `{"User":"1000:1000"}`,
		`VOLUME ["/a", "/b"]`:                 `{"Volumes":{"/a":{},"/b":{}}}`,
		`VOLUME /a /b`:                        `{"Volumes":{"/a":{},"/b":{}}}`,
		`WORKDIR /a/../b/`:                    `{"WorkingDir":"/b"}`,
		`STOPSIGNAL SIGQUIT`:                  `{"StopSignal":"SIGQUIT"}`,
		`HEALTHCHECK NONE`:                    `{"Healthcheck":{"Test":["NONE"]}}`,
		`HEALTHCHECK --interval=2s --retries=4 CMD ["a","b"]`: `{"Healthcheck":{"Test":["CMD","a","b"],"Interval":2000000000,"Retries":4}}`,
		`healthcheck cmd check it`:                            `{"Healthcheck":{"Test":["CMD-SHELL","check it"]}}`,
		`ONBUILD RUN x`:                                       `{"OnBuild":["RUN x"]}`,
	} {
		var c store.ProcessConfig
		if err := ApplyChange(&c, change); err != nil {
			t.Errorf("%s: %v", change, err)
			continue
		}
		if got, _ := json.Marshal(c); string(got) != want {
			t.Errorf("%s: %s, want %s", change, got, want)
		}
	}
}

func TestChangesAddUp(t *testing.T) {
	var c store.ProcessConfig
	for _, change := range []string{"ENV A=1 B=2", "ENV A=3", "WORKDIR /srv", "WORKDIR www", "LABEL a=1", "LABEL a=2"} {
		if err := ApplyChange(&c, change); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(c.Env, " ") != "A=3 B=2" || c.WorkingDir != "/srv/www" || c.Labels["a"] != "2" {
		t.Errorf("%+v", c)
	}
}

func TestChangesRefused(t *testing.T) {
	for _, change := range []string{"", "RUN ls", "CMD", "ENV", "ENV A", `ENV A="x`, "ENV =x", "ENV a=1 b", "EXPOSE x", "EXPOSE 0", "EXPOSE 90-80", "EXPOSE 70000", "EXPOSE 80/icmp", `VOLUME [""]`, `ENV ""`, "HEALTHCHECK", "HEALTHCHECK CMD", "HEALTHCHECK NONE x", "HEALTHCHECK --nope=1 CMD x", "HEALTHCHECK --interval=x CMD y", "HEALTHCHECK --retries=-1 CMD y", "HEALTHCHECK CMD []"} {
		var c store.ProcessConfig
		err := ApplyChange(&c, change)
		if err == nil {
			t.Errorf("%q: accepted as %+v", change, c)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than a line: %v", change, err)
		}
	}
}

func FuzzApplyChange(f *testing.F) {
	for _, seed := range []string{`CMD ["a"]`, `ENV A=1 B="x y"`, "EXPOSE 1-9/udp", `LABEL a="b\"c"`, "VOLUME [\"/a\"]", "WORKDIR a", "HEALTHCHECK --timeout=1s CMD [\"x\"]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, change string) {
		var c store.ProcessConfig
		if ApplyChange(&c, change) != nil {
			return
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e, "=") || !strings.Contains(e, "=") {
				t.Errorf("%q: variable %q", change, e)
			}
		}
		if c.WorkingDir != "" && !strings.HasPrefix(c.WorkingDir, "/") {
			t.Errorf("%q: working directory %q", change, c.WorkingDir)
		}
	})
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("garbage that is long enough"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := t.TempDir() + "/in"
		writeFile(t, path, data)
		sniff(path)
	})
}
