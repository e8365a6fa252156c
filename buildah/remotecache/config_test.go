package remotecache

import (
	"encoding/json"
	"strings"
	"testing"

	types "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/solver"
)

func sum(text string) digest.Digest { return digest.FromString(text) }

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	list := []solver.Known{
		{Keys: []digest.Digest{sum("content"), sum("definition")}, As: sum("content"), Layers: []string{"a"}},
		{Keys: []digest.Digest{sum("top")}, As: sum("top"), Layers: []string{"a", "b"}},
		{Keys: []digest.Digest{sum("elsewhere")}, As: sum("elsewhere"), Layers: []string{"c"}},
		{Keys: []digest.Digest{sum("empty")}, As: sum("empty")},
	}
	c := types.CacheConfig{Records: marshal(list, map[string]int{"a": 0, "b": 1}),
		Layers: []types.CacheLayer{{Blob: sum("A"), ParentIndex: -1}, {Blob: sum("B"), ParentIndex: -1}}}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[sum("definition")].as != sum("content") || got[sum("content")].as != sum("content") {
		t.Errorf("read back: %v", got)
	}
	if top := got[sum("top")].layers; len(top) != 2 || top[0] != sum("A") || top[1] != sum("B") {
		t.Errorf("layers of the top: %v", top)
	}
	if _, ok := got[sum("elsewhere")]; ok {
		t.Error("a result whose layer is not in the cache is in it")
	}
}

func TestForeignAndBrokenRecords(t *testing.T) {
	t.Parallel()
	key := `"digest":"` + sum("k").String() + `"`
	for name, c := range map[string]struct {
		text   string
		broken bool
	}{
		"BuildKit's":          {text: `{"records":[{` + key + `,"layers":[{"layer":0}]}],"layers":[{"blob":"` + sum("l").String() + `"}]}`},
		"no such layer":       {text: `{"records":[{` + key + `,"chains":[{"layers":[7]}]}]}`},
		"layer below zero":    {text: `{"records":[{` + key + `,"chains":[{"layers":[-1]}]}]}`},
		"no such record":      {text: `{"records":[{` + key + `,"chains":[{"layers":[]}],"inputs":[[{"selector":"wherry.as","link":9}]]}]}`},
		"a key that is none":  {text: `{"records":[{"digest":"../../x","chains":[{"layers":[]}]}]}`},
		"a blob that is none": {text: `{"layers":[{"blob":"../x"}]}`, broken: true},
		"no JSON":             {text: `{`, broken: true},
		"too long":            {text: `{"records":"` + strings.Repeat("x", maxDocument) + `"}`, broken: true},
	} {
		got, err := parse([]byte(c.text))
		if (err != nil) != c.broken || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"layers":[{"blob":"` + sum("l").String() + `","parent":-1}],"records":[{"digest":"` + sum("k").String() + `","chains":[{"layers":[0]}]}]}`))
	f.Add([]byte(`{"records":[{"digest":"x","inputs":[[{"selector":"wherry.as","link":0}]]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		if err != nil {
			return
		}
		for key, r := range got {
			if !valid(key) || !valid(r.as) {
				t.Errorf("key %q as %q", key, r.as)
			}
			for _, d := range r.layers {
				if !valid(d) {
					t.Errorf("layer %q", d)
				}
			}
		}
	})
}
