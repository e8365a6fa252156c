package system

import (
	"archive/tar"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// A tar stream that is slow to come keeps nobody from a stopped container, and is in it once it has come.
//
// flag: cp
func TestCpStreamLocksNobody(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image, "cat", "/f")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := shared.Command(t.Context(), "cp", "-", name+":/")
	var errs strings.Builder
	cmd.Stdin, cmd.Stderr = read, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	archive := tar.NewWriter(write)
	if err := archive.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Size: 5}); err != nil {
		t.Fatal(err)
	}
	shared.Must(t, "start", name)
	testkit.Eventually(t, "it ends without the file", func() bool { return field(t, name, "{{.State.Status}}") == "exited" })
	io.WriteString(archive, "hello")
	archive.Close()
	write.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("cp: %v %s", err, errs.String())
	}
	if out := shared.Try(t, "start", "-a", name).Out(); out != "hello" {
		t.Errorf("the container reads %q", out)
	}
}
