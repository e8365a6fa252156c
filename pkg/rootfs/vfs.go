package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// vfsDone in the work directory says that the copy in Upper is complete.
const vfsDone = "copied"

// mountVFS shows a full copy of the layers, which is made at the container's first mount. A copy that was killed
// is started anew.
func mountVFS(ctx context.Context, s Spec) error {
	if s.ReadOnly && len(s.Lower) == 1 && s.IDMap == nil {
		return bind(s.Lower[0], s.Target, true)
	}
	if s.Work == "" || s.Upper == "" {
		return errors.New("the vfs driver needs a read-write layer and a work directory")
	}
	if err := makeUpper(s); err != nil {
		return err
	}
	done := filepath.Join(s.Work, vfsDone)
	if _, err := os.Stat(done); err != nil {
		if err := emptyDir(s.Upper); err != nil {
			return err
		}
		if err := copyLayers(ctx, s.Upper, s.Lower, s.IDMap); err != nil {
			return err
		}
		if !s.Volatile {
			if err := syncTree(s.Upper); err != nil {
				return fmt.Errorf("sync %s: %w", s.Upper, err)
			}
		}
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			return err
		}
	}
	return bind(s.Upper, s.Target, s.ReadOnly)
}
