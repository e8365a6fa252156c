package image

import (
	"context"
	"strings"

	"github.com/containers/image/v5/types"
	encconfig "github.com/containers/ocicrypt/config"
	"github.com/containers/ocicrypt/helpers"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// decryptor reads the keys that layers are decrypted with; nil: there are none.
func decryptor(keys []string) (*encconfig.DecryptConfig, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	config, err := helpers.CreateDecryptCryptoConfig(keys, nil)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "--decryption-key: %v (want FILE[:PASSPHRASE] with a private key)", err)
	}
	return encconfig.CombineCryptoConfigs([]encconfig.CryptoConfig{config}).DecryptConfig, nil
}

// encryptInto makes a transfer encrypt layers, all of them where none are named.
func encryptInto(t *transfer, opts option.Push) error {
	if len(opts.EncryptionKeys) == 0 {
		if len(opts.EncryptLayers) > 0 {
			return errdefs.New(errdefs.ErrInvalid, "--encrypt-layer says which layers, --encryption-key for whom: that is missing")
		}
		return nil
	}
	config, err := helpers.CreateCryptoConfig(opts.EncryptionKeys, nil)
	if err != nil {
		return errdefs.New(errdefs.ErrInvalid, "--encryption-key: %v (want jwe:FILE with a public key, pkcs7:FILE with a certificate, or pgp:NAME)", err)
	}
	t.options.OciEncryptConfig = encconfig.CombineCryptoConfigs([]encconfig.CryptoConfig{config}).EncryptConfig
	layers := append([]int{}, opts.EncryptLayers...) // not nil: nil is no encryption
	t.options.OciEncryptLayers = &layers
	return nil
}

// isEncrypted tells whether the image that a transfer failed for has encrypted layers.
func isEncrypted(ctx context.Context, sys *types.SystemContext, ref types.ImageReference) bool {
	img, err := ref.NewImage(ctx, sys)
	if err != nil {
		return false
	}
	defer img.Close()
	for _, l := range img.LayerInfos() {
		if strings.HasSuffix(l.MediaType, "+encrypted") {
			return true
		}
	}
	return false
}
