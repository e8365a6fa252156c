package image

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	fake "github.com/wherry-containers/wherry/test/registry"
)

// Who has the key, and nobody else, can pull what was encrypted for him.
func TestEncryptedImage(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	r := fake.Start(t, fake.Options{})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	f.noError(err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	f.noError(err)
	f.write("public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	f.write("private.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	ref := r.Host + "/secret:1"
	id := f.imported(ref, "nobody must read this")
	f.noError(f.Push(ctx, ref, "", option.Push{EncryptionKeys: []string{"jwe:" + f.path("public.pem")}, Format: "oci", Quiet: true}))
	if kinds := f.layerTypes(ref); len(kinds) != 1 || !strings.HasSuffix(kinds[0], "+encrypted") {
		t.Fatalf("layers %v", kinds)
	}
	f.noError(f.Remove(ctx, ref, option.Remove{}))
	_, err = f.pull(ref, option.Pull{})
	f.failsWith(err, errdefs.ErrInvalid, "encrypted", "--decryption-key")
	_, err = f.pull(ref, option.Pull{DecryptionKeys: []string{f.path("missing.pem")}})
	f.failsWith(err, errdefs.ErrInvalid, "--decryption-key")
	got, err := f.pull(ref, option.Pull{DecryptionKeys: []string{f.path("private.pem")}})
	f.noError(err)
	img, err := f.lookup(ctx, got)
	f.noError(err)
	if data, err := os.ReadFile(img.Lower[0] + "/file"); err != nil || string(data) != "nobody must read this" {
		t.Errorf("%s of %s: %q %v", got, id, data, err)
	}
	f.failsWith(f.Push(ctx, ref, "", option.Push{EncryptionKeys: []string{"x"}}), errdefs.ErrInvalid, "--encryption-key")
	f.failsWith(f.Push(ctx, ref, "", option.Push{EncryptLayers: []int{0}}), errdefs.ErrInvalid, "--encryption-key")
	f.sound()
}
