package libpod

// afterRemoval is what the monitor starts once the container is removed: the removal of its image, where that was asked
// for. It goes by the name that the user typed, so that other names of the image stay.
func (e *Engine) afterRemoval(c *container) []string {
	if !c.Lifecycle.AutoRemove || !c.Lifecycle.RemoveImage {
		return nil
	}
	return []string{e.dirs.Image(), "rmi", "--ignore", c.Image.Name}
}
