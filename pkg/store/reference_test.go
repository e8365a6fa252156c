package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const someDigest = "sha256:1889614c049687864792ced82675fc48734347aa0c6c7f335bfc7f8666b1c192"

var referenceSeeds = []string{
	"busybox", "busybox:1", "library/busybox", "docker.io/busybox", "index.docker.io/busybox:x", "quay.io/a/b/c:v1.2-3",
	"localhost/foo", "localhost:5000/foo", "[::1]:5000/foo", "[fe80]/x", "Host/foo", "a.b/c__d/e---f", "foo@" + someDigest,
	"foo:tag@" + someDigest, "docker.io/library/foo@sha256:abc", "UPPER", "foo:", ":x", "", "/", "a//b", "foo:bad tag",
	"foo@md5:d41d8cd98f00b204e9800998ecf8427e", "a_-b", "a___b", "a..b", "-a", "a-", "127.0.0.1/x:y:z", "x:5000/",
	strings.Repeat("a", 256), "foo:" + strings.Repeat("t", 129), strings.Repeat("a", 64), "é", "a\nb", "[::1/x", "a:b/c",
	"foo@" + someDigest + "@" + someDigest, "foo@" + strings.ToUpper(someDigest), ".a/b", "a.-b/c", "localhost", "foo/bar@",
}

// compareWithLibrary checks that we read s as Docker's own library does.
func compareWithLibrary(t *testing.T, s string) {
	t.Helper()
	got, err := ParseReference(s)
	if err != nil {
		if !errors.Is(err, errdefs.ErrInvalid) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error is not one line of ErrInvalid: %q", s, err)
		}
	}
	named, libErr := reference.ParseNormalizedNamed(s)
	if libErr == nil && reference.Domain(named) == "" { // 0.0_0/0: no host name, so the library takes all for a path
		libErr = errdefs.ErrInvalid
	}
	if (err == nil) != (libErr == nil) {
		t.Fatalf("%q: we say %v, the library %v", s, err, libErr)
	}
	if err == nil && got.String() != reference.TagNameOnly(named).String() {
		t.Fatalf("%q: we say %s, the library %s", s, got, reference.TagNameOnly(named))
	}
}

func TestParseReferenceAsTheLibrary(t *testing.T) {
	for _, s := range referenceSeeds {
		compareWithLibrary(t, s)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range referenceSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 || strings.ContainsAny(s, "ſK") { // the library's lower-casing meets its expressions in odd ways here
			return
		}
		compareWithLibrary(t, s)
	})
}

func TestParseReference(t *testing.T) {
	for in, want := range map[string]string{
		"busybox":                  "docker.io/library/busybox:latest",
		"me/app:2":                 "docker.io/me/app:2",
		"localhost/foo":            "localhost/foo:latest",
		"reg:5000/x@" + someDigest: "reg:5000/x@" + someDigest,
	} {
		if r, err := ParseReference(in); err != nil || r.String() != want {
			t.Errorf("%s: %v %v, want %s", in, r, err, want)
		}
	}
}
