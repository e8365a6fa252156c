package lazyjson

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

type inner struct {
	A int `json:"a,omitempty"`
	B []string
}

type mixed struct {
	inner
	Name   string            `json:"name"`
	Skip   string            `json:"-"`
	Ptr    *inner            `json:"ptr,omitempty"`
	Map    map[string]*inner `json:"map,omitempty"`
	Any    any
	Bytes  []byte
	When   time.Time
	Mode   *os.FileMode `json:",omitempty"`
	Float  float64
	hidden int
	Zero   inner `json:"zero,omitzero"`
	Array  [2]bool
	U      uint8 `json:"u"`
	Dur    time.Duration
}

func values() []any {
	mode := os.FileMode(0o644)
	limit := int64(5)
	return []any{
		mixed{}, &mixed{Name: "<a>&\"\\\n\u2028é\x00", Ptr: &inner{A: 1}, Map: map[string]*inner{"b": nil, "a": {B: []string{}}}, Any: []any{1, "x", nil, 2.5},
			Bytes: []byte("hi"), When: time.Unix(1, 2).UTC(), Mode: &mode, hidden: 1, Array: [2]bool{true}, Dur: time.Second},
		nil, 3, "x", []int(nil), map[string]int(nil),
		specs.Spec{Version: "1.0.2", Process: &specs.Process{Args: []string{"sh", "-c", "a && b"}, User: specs.User{UID: 1, AdditionalGids: []uint32{3}}},
			Root: &specs.Root{Path: "/r"}, Mounts: []specs.Mount{{Destination: "/x", Options: []string{"ro"}}}, Annotations: map[string]string{"b": "1", "a": "2"},
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "pid"}}, Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}},
				Devices: []specs.LinuxDevice{{Path: "/dev/x", FileMode: &mode}}, Seccomp: &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ERRNO"}}},
	}
}

func TestSameAsEncodingJSON(t *testing.T) {
	for _, v := range values() {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Marshal(v)
		if err != nil || string(got) != string(want) {
			t.Errorf("%T: %v\n got %s\nwant %s", v, err, got, want)
		}
	}
}

func FuzzStrings(f *testing.F) {
	f.Add("a<b>\"\\\n\x7f\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		want, _ := json.Marshal(map[string]string{s: s})
		got, err := Marshal(map[string]string{s: s})
		if err != nil || string(got) != string(want) {
			t.Errorf("%q: %v: got %s, want %s", s, err, got, want)
		}
	})
}
