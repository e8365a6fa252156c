// Package cli runs the scripts in testdata against the built program: command lines, errors, help and formats.
package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts gives each script a store of its own. The program is the one in WHERRY_BIN.
func TestScripts(t *testing.T) {
	bin := os.Getenv("WHERRY_BIN")
	if bin == "" {
		t.Skip("WHERRY_BIN is not set: make test sets it")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			links := filepath.Join(e.WorkDir, "links")
			if err := os.Mkdir(links, 0o755); err != nil {
				return err
			}
			e.Setenv("PATH", bin+":"+links+":"+os.Getenv("PATH"))
			e.Setenv("WHERRY_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("WHERRY_RUN", filepath.Join(e.WorkDir, "run"))
			e.Setenv("XDG_RUNTIME_DIR", os.Getenv("XDG_RUNTIME_DIR"))
			e.Setenv("HOME", os.Getenv("HOME"))
			return os.Symlink(filepath.Join(bin, "wherry"), filepath.Join(links, "docker"))
		},
	})
}
