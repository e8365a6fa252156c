package list

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/store"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// sample is three images: two names, nameless under the first, and one by digest.
func sample() []store.Image {
	digest := "sha256:" + strings.Repeat("d", 64)
	return []store.Image{
		{ID: strings.Repeat("a", 64), Names: []string{"docker.io/library/busybox:latest", "quay.io/x/y:1"}, Created: now.Add(-time.Hour),
			Layers: []string{"2", "1"}, Sizes: []int64{2, 1}, Size: 4261550, Digest: digest, Digests: []string{digest},
			Config: store.Config{Config: store.ProcessConfig{Labels: map[string]string{"k": "v"}}}},
		{ID: strings.Repeat("b", 64), Created: now.Add(-48 * time.Hour), Layers: []string{"1"}, Size: 1},
		{ID: strings.Repeat("c", 64), Names: []string{"quay.io/x/z@" + digest}, Created: now.Add(-72 * time.Hour), Layers: []string{"3"}, ReadOnly: true},
		{ID: strings.Repeat("e", 64), Created: now.Add(-96 * time.Hour), Layers: []string{"4"}},
	}
}

func TestRows(t *testing.T) {
	rows := Rows(sample(), Filter{}, RowOptions{}, now)
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{r.Repository, r.Tag, r.ID, r.CreatedSince, r.Size}, " "))
	}
	want := []string{
		"busybox latest aaaaaaaaaaaa About an hour ago 4.26MB", "quay.io/x/y 1 aaaaaaaaaaaa About an hour ago 4.26MB",
		"quay.io/x/z <none> cccccccccccc 3 days ago 0B", "<none> <none> eeeeeeeeeeee 4 days ago 0B",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if n := len(Rows(sample(), Filter{}, RowOptions{All: true, NoTrunc: true}, now)); n != 5 {
		t.Errorf("%d rows of all", n)
	}
}

func TestSort(t *testing.T) {
	for by, want := range map[string]string{"created": "aace", "id": "aace", "size": "aace", "repository": "eaac", "tag": "ace"} {
		rows := Rows(sample(), Filter{}, RowOptions{}, now)
		if err := Sort(rows, by); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range rows {
			got += r.ID[:1]
		}
		if by == "tag" {
			continue // only that it is known
		}
		if got != want {
			t.Errorf("%s: %s, want %s", by, got, want)
		}
	}
	if Sort(nil, "colour") == nil {
		t.Error("unknown order accepted")
	}
}

func TestFilters(t *testing.T) {
	known := []string{"reference", "dangling", "label", "before", "since", "until", "id", "readonly"}
	images := sample()
	find := func(name string) (*store.Image, error) { return &images[1], nil }
	for text, want := range map[string]string{
		"reference=busybox": "a", "reference=busy*": "a", "reference=quay.io/x/*": "ac", "reference=y": "", "reference=quay.io/x/y:1": "a", "reference=*/*/y": "a", "reference=no": "",
		"reference=docker.io/library/busybox:latest": "a", "dangling=true": "be", "dangling=false": "ac", "label=k": "a", "label=k=v": "a", "label=k=w": "",
		"label!=k": "bce", "until=60h": "ce", "until=2026-03-03": "bce", "id=cc": "c", "id=sha256:bb": "b", "before=x": "ce", "since=x": "a", "readonly=true": "c",
	} {
		f, err := ParseFilter([]string{text}, now, known...)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		chosen, err := f.Images(images, find)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, img := range chosen {
			got += img.ID[:1]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"", "x", "colour=red", "dangling=maybe", "until=then", "reference=[", "dangling!=true"} {
		if _, err := ParseFilter([]string{text}, now, known...); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

func TestInspectHasDockersKeys(t *testing.T) {
	img := sample()[0]
	img.Lower, img.Driver = []string{"/top", "/base"}, "overlay"
	data, err := json.Marshal(Inspect(&img))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Id", "RepoTags", "RepoDigests", "Created", "Architecture", "Os", "Size", "Config", "RootFS", "GraphDriver", "Metadata"} {
		if _, ok := doc[key]; !ok {
			t.Errorf("no %s in %s", key, data)
		}
	}
	d := Inspect(&img)
	if strings.Join(d.RepoTags, " ") != "busybox:latest quay.io/x/y:1" || len(d.RepoDigests) != 2 || d.GraphDriver.Data["LowerDir"] != "/base" {
		t.Errorf("%+v", d)
	}
}

func TestSteps(t *testing.T) {
	img := sample()[0]
	when := now.Add(-time.Hour)
	img.Config.History = []store.History{
		{Created: &when, CreatedBy: "ADD file"}, {Created: &when, CreatedBy: "CMD\t" + strings.Repeat("x", 60), EmptyLayer: true}, {CreatedBy: "RUN y", Comment: "c"},
	}
	steps := Steps(&img, HistoryOptions{}, now)
	if len(steps) != 3 || steps[0].ID != "aaaaaaaaaaaa" || steps[0].Size != "2B" || steps[1].ID != "<missing>" || steps[1].Size != "0B" || steps[2].Size != "1B" {
		t.Errorf("%+v", steps)
	}
	if runes := []rune(steps[1].CreatedBy); len(runes) != createdByWidth || runes[3] != ' ' {
		t.Errorf("%q", steps[1].CreatedBy)
	}
	if raw := Steps(&img, HistoryOptions{NoTrunc: true, Raw: true}, now); raw[0].ID != "sha256:"+img.ID || raw[2].Size != "1" {
		t.Errorf("%+v", raw)
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{"reference=a*", "until=24h", "until=1e400", "label!=x", "id=sha256:a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := ParseFilter([]string{text}, now, "reference", "dangling", "label", "until", "id", "readonly")
		if err != nil {
			return
		}
		for _, img := range sample() {
			filter.Match(img)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("docker.io/library/a:b@sha256:c")
	f.Fuzz(func(t *testing.T, full string) { _ = ParseName(full).forms() })
}
