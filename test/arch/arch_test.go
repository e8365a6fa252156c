package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/test/source"
)

// tags are those of the Makefile.
const tags = "containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper,urfave_cli_no_docs"

// frontMustNotLink is what the start of `wherry` cannot afford; the companions have it.
var frontMustNotLink = []string{
	"github.com/containers/storage", "github.com/containers/image/v5/copy", "github.com/containers/image/v5/docker",
	"github.com/containers/image/v5/storage", "github.com/containers/common/libimage",
}

func tree(t *testing.T) []*source.File {
	t.Helper()
	files, err := source.Tree("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

// checks are the rules that need no linker, by name.
var checks = map[string]func([]*source.File) []string{
	"import table":            importTable,
	"reserved imports":        reservedImports,
	"only these execute":      onlyTheseExecute,
	"spec and record pure":    pureFolders,
	"only mains touch":        onlyMains,
	"no init":                 noInit,
	"every package says what": packageComments,
	"sizes":                   sizes,
}

func TestTree(t *testing.T) {
	files := tree(t)
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			for _, wrong := range check(files) {
				t.Error(wrong)
			}
		})
	}
}

// TestFrontStaysLight looks at what the linker would see, for each processor we build for.
func TestFrontStaysLight(t *testing.T) {
	for main, banned := range map[string][]string{
		"cmd/wherry":         frontMustNotLink,
		"cmd/wherry-monitor": append([]string{"github.com/urfave/cli/v2", "net/http"}, frontMustNotLink...),
		"cmd/wherry-net":     append([]string{"github.com/urfave/cli/v2", "net/http"}, frontMustNotLink...),
	} {
		for _, arch := range []string{"amd64", "arm64", "arm"} {
			for _, linked := range linkedBy(t, main, arch) {
				if slices.Contains(banned, linked) {
					t.Errorf("%s links %s (%s); see go list -deps -f '{{.ImportPath}} {{.Imports}}' ./%s", main, linked, arch, main)
				}
			}
		}
	}
}

func linkedBy(t *testing.T, main, arch string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-tags", tags, "./"+main)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./%s: %v\n%s", main, err, complaint.String())
	}
	return strings.Fields(string(out))
}
