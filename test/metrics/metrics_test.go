package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wherry-containers/wherry/test/source"
)

func TestFigures(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"pkg/a/a.go":      "// Package a is.\npackage a\n\nimport _ \"" + source.Module + "/pkg/b\"\n\n// S is.\ntype S struct{ A, B int }\n\nfunc F() {\n}\n",
		"pkg/b/b.go":      "package b\n\nimport _ \"" + source.Module + "/pkg/a\"\n\ntype I interface{ M() }\n",
		"pkg/a/a_test.go": "package a\n\nvar x = 1\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := source.Tree(root)
	if err != nil {
		t.Fatal(err)
	}
	now := map[string]string{}
	for _, f := range figures(files) {
		now[f.name] = f.now
	}
	for name, want := range map[string]string{
		"code lines":                     "8",
		"test lines":                     "2",
		"longest function":               "2 (F in pkg/a/a.go)",
		"widest struct, fields":          "2 (pkg/a.S)",
		"widest interface, methods":      "1 (pkg/b.I)",
		"folders that import each other": "1",
		"packages with a comment":        "50.0 % (1 of 2)",
		"exported names with a comment":  "33.3 % (1 of 3)",
	} {
		if now[name] != want {
			t.Errorf("%s: %q, want %q", name, now[name], want)
		}
	}
}
