package system

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// An encrypted image runs for who has its key.
//
// flag: run, create --decryption-key
// flag: pull --decryption-key
// flag: push --encryption-key --encrypt-layer
func TestRunEncryptedImage(t *testing.T) {
	t.Parallel()
	r := fake.Start(t, fake.Options{})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	base := dir(t)
	for name, block := range map[string]*pem.Block{"public": {Type: "PUBLIC KEY", Bytes: public}, "private": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}} {
		if err := os.WriteFile(filepath.Join(base, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := ownStore(t)
	ref := r.Host + "/secret:1"
	s.Must(t, "push", "-q", "--tls-verify=false", "--encryption-key", "jwe:"+filepath.Join(base, "public"), "--encrypt-layer", "-1", "--format", "oci", testkit.Image, ref)
	s.MustFail(t, 125, "is encrypted", "run", "--rm", "-q", "--tls-verify=false", ref, "true")
	s.MustFail(t, 125, "want a number", "push", "--encrypt-layer", "x", testkit.Image, ref)
	if out := s.Must(t, "run", "--rm", "-q", "--network", "none", "--tls-verify=false", "--decryption-key", filepath.Join(base, "private"), ref, "echo", "opened"); out != "opened" {
		t.Errorf("it says %q", out)
	}
}
