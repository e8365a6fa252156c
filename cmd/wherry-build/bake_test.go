package main

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestParseBake(t *testing.T) {
	w, err := parseBake([]string{"--file", "-", "--progress", "rawjson", "--metadata-file", "/m", "--allow", "fs.read=/x", "--allow", "security.insecure", "--sbom=true", "--provenance=mode=max", "--builder", "default"})
	if err != nil || w.progress != "rawjson" || w.metadata != "/m" || !slices.Equal(w.allow, []string{"fs.read=/x", "security.insecure"}) ||
		!slices.Equal(w.attests, []string{"type=sbom", "type=provenance,mode=max"}) {
		t.Errorf("%+v %v", w, err)
	}
	for _, args := range [][]string{{"--file", "docker-bake.hcl"}, {"--builder", "other"}, {"--push"}} {
		if _, err := parseBake(args); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
}

func TestBakeFile(t *testing.T) {
	var f bakeFile
	err := json.Unmarshal([]byte(`{"group":{"default":{"targets":["app"]}},"target":{
		"app":{"context":"/a","contexts":{"base":"target:lib","other":"/dir"},"args":{"V":"$${X}"},"tags":["app:1"],"shm-size":"64","output":["type=docker"],"ssh":["default="]},
		"lib":{"context":"/l","dockerfile-inline":"FROM scratch\nENV A=$${B}","tags":["lib:1"],"output":["type=registry"],"entitlements":["security.insecure"]},
		"idle":{"context":"/i"}}}`), &f)
	if err != nil {
		t.Fatal(err)
	}
	order, err := f.wanted()
	if err != nil || !slices.Equal(order, []string{"lib", "app"}) {
		t.Fatalf("%q %v", order, err)
	}
	o, err := f.Target["app"].options(f.Target, bakeWish{}, t.TempDir())
	if err != nil || o.Contexts["base"] != "docker-image://lib:1" || o.Contexts["other"] != "/dir" || !slices.Equal(o.Args, []string{"V=${X}"}) ||
		o.Steps.ShmSize != 64 || len(o.Result.Outputs) != 0 || !slices.Equal(o.Access.SSH, []string{"default"}) {
		t.Errorf("%+v %v", o, err)
	}
	if o, err = f.Target["lib"].options(f.Target, bakeWish{}, t.TempDir()); err != nil || len(o.Files) != 1 || len(o.Allow) != 0 || !slices.Equal(o.Result.Outputs, []string{"type=registry"}) {
		t.Errorf("%+v %v", o, err)
	}
	for name, text := range map[string]string{
		"gone":   `{"group":{"default":{"targets":["a"]}},"target":{"a":{"contexts":{"x":"target:b"}}}}`,
		"itself": `{"group":{"default":{"targets":["a"]}},"target":{"a":{"contexts":{"x":"target:b"}},"b":{"contexts":{"x":"target:a"}}}}`,
	} {
		var f bakeFile
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		if _, err := f.wanted(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
