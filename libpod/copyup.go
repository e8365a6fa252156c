package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// copyUp copies the content of target, a directory inside root, into the volume at dst. An image without that
// directory gives nothing.
func copyUp(ctx context.Context, root, target, dst string) error {
	dir, err := safepath.OpenIn(root, target, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return err
	}
	// By the descriptor, for root is mounted in this thread's namespace only and the copy uses several.
	return rootfs.CopyTree(ctx, fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), dst)
}
