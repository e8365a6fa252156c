package container

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
)

// platformParts are --os, --arch and --variant: --platform in pieces.
type platformParts struct{ os, arch, variant string }

func (w *wish) imageFlags() []cli.Flag {
	pass := func(names, usage string) *cmdkit.Flag {
		name := strings.Fields(names)[0]
		return cmdkit.Func(names, usage, func(s string) error {
			w.pullArgs = append(w.pullArgs, "--"+name+"="+s)
			return nil
		})
	}
	tls := pass("tls-verify", "Insist on HTTPS with a trusted certificate when pulling")
	tls.Bool = true
	trust := cmdkit.Func("disable-content-trust", "Do not verify signatures of Docker's notary, which is never done: only true is taken", func(s string) error {
		return values.OneOf(s, "true")
	})
	trust.Bool = true
	flags := []cli.Flag{
		cmdkit.String(&w.platform.arch, "arch", "Take the image for `ARCH`"),
		pass("authfile", "`FILE` with the log-ins of registries"),
		pass("cert-dir", "`DIR` with the CA and certificates for the registry"),
		pass("creds", "`USER:PASSWORD` for the registry"),
		trust,
		cmdkit.String(&w.platform.os, "os", "Take the image for `OS`"),
		checked(&w.Platform, "platform", "Take the image for `OS/ARCH[/VARIANT]`", values.Platform),
		checked(&w.Pull, "pull", "When to ask the registry: `always|missing|never|newer`", func(s string) error {
			return values.OneOf(s, "always", "missing", "never", "newer")
		}),
		cmdkit.Bool(&w.quiet, "quiet q", "Do not show how a pull goes"),
		pass("retry", "Try a pull again `NUMBER` times"),
		pass("retry-delay", "`DURATION` between two tries of a pull"),
		tls,
		cmdkit.String(&w.platform.variant, "variant", "Take the image for `VARIANT` of the architecture"),
	}
	return append(flags, pass("decryption-key", "Decrypt layers with the private key in `FILE[:PASSPHRASE]`"))
}

// settlePlatform makes --platform of its pieces.
func (w *wish) settlePlatform() error {
	p := w.platform
	if p == (platformParts{}) {
		return nil
	}
	if w.Platform != "" {
		return cmdkit.Usagef("--platform does not go with --os, --arch and --variant: it says all three")
	}
	if p.os == "" {
		p.os = "linux"
	}
	if p.arch == "" {
		p.arch = runtime.GOARCH
	}
	w.Platform = strings.TrimSuffix(p.os+"/"+p.arch+"/"+p.variant, "/")
	if err := values.Platform(w.Platform); err != nil {
		return cmdkit.Usagef("invalid --os, --arch or --variant: %s", err)
	}
	return nil
}

// removeImageFlag is --rmi, which means --rm, too.
func (w *wish) removeImageFlag() *cmdkit.Flag {
	f := cmdkit.Func("rmi", "Remove the container when it ends, and the image too unless other containers stand on it", func(s string) error {
		l := &w.Config.Lifecycle
		l.RemoveImage = s == "true"
		l.AutoRemove = l.AutoRemove || l.RemoveImage
		return nil
	})
	f.Bool = true
	return f
}

// dropImage waits until the image of a foreground run with --rmi is gone. The monitor sees to it, too: it is there also
// when the user has detached, or this command was killed.
func (w *wish) dropImage(ctx context.Context, env *cmdkit.Env, err error) {
	if !w.Config.Lifecycle.RemoveImage || w.Detach || errors.Is(err, libpod.ErrDetached) {
		return
	}
	cmd := exec.CommandContext(ctx, env.Dirs.Image(), "rmi", "--ignore", w.Config.Image.Name)
	cmd.Env = env.Environ()
	cmd.Run() // an image that somebody uses stays
}
