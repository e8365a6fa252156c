package libpod

import (
	"os"
	"runtime"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// emulators are where the kernel lists the programs that run those of other processors.
const emulators = "/proc/sys/fs/binfmt_misc/qemu-"

// alsoRuns are the processors whose programs run without an emulator, besides our own.
var alsoRuns = map[string]string{"amd64": "386", "arm64": "arm"}

// emulated are the names that qemu has for processors.
var emulated = map[string]string{"amd64": "x86_64", "386": "i386", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64", "arm": "arm"}

// checkRuns refuses an image whose programs this machine cannot execute, which the runtime would tell by "exec format
// error".
func checkRuns(img *store.Image, name string) error {
	arch := img.Config.Architecture
	if arch == "" || arch == runtime.GOARCH || alsoRuns[runtime.GOARCH] == arch {
		return nil
	}
	if _, err := os.Stat(emulators + emulated[arch]); err == nil && emulated[arch] != "" {
		return nil
	}
	have := option.Platform{OS: img.Config.OS, Arch: arch, Variant: img.Config.Variant}
	return errdefs.New(errdefs.ErrUnsupported, "image %q is for %s, and this machine (linux/%s) has no emulator for it (install qemu-user-static, or pull it with --platform linux/%s)",
		name, have, runtime.GOARCH, runtime.GOARCH)
}
