package build

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// registryFlags say how registries are asked for base images, and for what becomes of the image.
func (b *builder) registryFlags() []cli.Flag {
	r := &b.opts.Registry
	tls := cmdkit.Func("tls-verify", "Insist on HTTPS with a trusted certificate", func(text string) error {
		verify, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("true or false is expected")
		}
		r.TLSVerify = &verify
		return nil
	})
	tls.Bool = true
	retry := option.Retry{Max: 3}
	wished := func(f *cmdkit.Flag) *cmdkit.Flag { // questions, too, are asked again
		set := f.Set
		f.Set = func(text string) error {
			r.Retry = &retry
			return set(text)
		}
		return f
	}
	return []cli.Flag{
		cmdkit.String(&r.AuthFile, "authfile", "`FILE` with the log-ins of registries"),
		cmdkit.String(&r.Creds, "creds", "`USER:PASSWORD` for the registries"),
		cmdkit.String(&r.CertDir, "cert-dir", "`DIR` with the CA and certificates for the registries"),
		tls,
		wished(cmdkit.Int(&retry.Max, "retry", "Try again so many times after a fault of the network")),
		wished(cmdkit.Duration(&retry.Delay, "retry-delay", "Wait so long before the first new try, doubled for each further one")),
		cmdkit.String(&b.named, "builder", "Build as the builder `NAME` says (buildx create makes one)"),
		cmdkit.String(&b.opts.Result.Manifest, "manifest", "Add the images to the manifest list `NAME`, which is made if there is none"),
	}
}
