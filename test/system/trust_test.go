package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// openPGP makes a key in a key ring of the test's own and returns the file of its public half, and the variable that names the ring.
func openPGP(t *testing.T, base, name string) (public, variable string) {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed (sudo apt install gnupg)")
	}
	ring, err := os.MkdirTemp("", "g") // a short path: the agent's socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	variable = "GNUPGHOME=" + ring
	run := func(args ...string) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), variable)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "gpg-agent")
		cmd.Env = append(os.Environ(), variable)
		cmd.Run()
		os.RemoveAll(ring)
	})
	public = filepath.Join(base, "public.gpg")
	run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", name, "rsa2048", "sign", "never")
	run("gpg", "--batch", "--quiet", "--output", public, "--export", name)
	return public, variable
}

// An image is pulled only if the policy lets it: when nothing is asked, when it is signed, and not when it is not.
//
// flag: image sign --sign-by --directory --all
// flag: image trust set --type --pubkeysfile
// flag: image trust show --raw --json --noheading
func TestSignedImages(t *testing.T) {
	t.Parallel()
	r := fake.Start(t, fake.Options{})
	base := dir(t)
	public, ring := openPGP(t, base, "tester@example.com")
	s := ownStore(t).With("HOME="+base, ring)
	ref := r.Host + "/team/app:1"
	s.Must(t, "push", "-q", "--tls-verify=false", testkit.Image, ref)
	pull := func() testkit.Result { return s.Try(t, "pull", "-q", "--tls-verify=false", ref) }

	s.Must(t, "image", "trust", "set", "--type", "reject", "default")
	if p := pull(); p.Code != 125 || !strings.Contains(p.Stderr, "reject") {
		t.Errorf("rejected: exit %d %s", p.Code, p.Stderr)
	}
	s.MustFail(t, 125, "--pubkeysfile", "image", "trust", "set", r.Host)
	s.Must(t, "image", "trust", "set", "--type", "signedBy", "--pubkeysfile", public, r.Host+"/team")
	if p := pull(); p.Code != 125 || !strings.Contains(p.Stderr, "signature") {
		t.Errorf("unsigned: exit %d %s", p.Code, p.Stderr)
	}
	s.MustFail(t, 125, "--sign-by", "image", "sign", ref)
	s.MustFail(t, 125, "gpg: ", "image", "sign", "--sign-by", "nobody@example.com", "docker://"+ref)
	made := s.Must(t, "image", "sign", "--all", "--sign-by", "tester@example.com", ref)
	if want := filepath.Join(base, ".local/share/containers/sigstore/team/app@sha256="); !strings.HasPrefix(made, want) {
		t.Errorf("the signature is at %s", made)
	}
	if p := pull(); p.Code != 0 {
		t.Errorf("signed: exit %d %s", p.Code, p.Stderr)
	}
	elsewhere := filepath.Join(base, "elsewhere")
	if path := s.Must(t, "image", "sign", "--sign-by", "tester@example.com", "--directory", elsewhere, ref); !strings.HasPrefix(path, elsewhere+"/team/app@") {
		t.Errorf("--directory: %s", path)
	}

	shown := s.Must(t, "image", "trust", "show")
	for _, text := range []string{"TRANSPORT", "default", "reject", r.Host + "/team", "signedBy", public, "file://" + base} {
		if !strings.Contains(shown, text) {
			t.Errorf("show lacks %q:\n%s", text, shown)
		}
	}
	if out := s.Must(t, "image", "trust", "show", "--noheading", "default"); strings.Contains(out, "TRANSPORT") || !strings.Contains(out, "reject") {
		t.Errorf("--noheading: %s", out)
	}
	if out := s.Must(t, "image", "trust", "show", "--json"); !strings.Contains(out, `"type": "signedBy"`) && !strings.Contains(out, `"type":"signedBy"`) {
		t.Errorf("--json: %s", out)
	}
	raw, err := os.ReadFile(filepath.Join(base, ".config/containers/policy.json"))
	if err != nil || s.Must(t, "image", "trust", "show", "--raw") != strings.TrimRight(string(raw), "\n") {
		t.Errorf("--raw is not the file: %v", err)
	}
	s.MustFail(t, 125, "says nothing of", "image", "trust", "show", "quay.io")
}

// flag: image tree --whatrequires
func TestImageTree(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "--network", "none", "--name", "a", testkit.Image, "touch", "/new")
	s.Must(t, "commit", "-q", "a", "child:1")
	plain, more := s.Must(t, "image", "tree", testkit.Image), s.Must(t, "image", "tree", "--whatrequires", testkit.Image)
	if strings.Count(plain, "ID: ") != 2 || !strings.Contains(plain, "Top Layer of: ["+testkit.Image) {
		t.Errorf("%s", plain)
	}
	if strings.Count(more, "ID: ") != 3 || !strings.Contains(more, "Top Layer of: [child:1]") && !strings.Contains(more, "child:1") {
		t.Errorf("--whatrequires: %s", more)
	}
	s.MustFail(t, 125, "nosuch", "image", "tree", "nosuch")
}
