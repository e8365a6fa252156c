package rootfs

import "context"

// CopyTree copies what is below src into the directory dst, complete with owners, modes, times, attributes and hard
// links; dst itself takes over the attributes of src. What is there already under the same names is replaced, so that
// a copy that was cut short can be made again.
func CopyTree(ctx context.Context, src, dst string) error {
	return copyLayers(ctx, dst, []string{src}, nil)
}
