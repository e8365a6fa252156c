package libpod

import (
	"context"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// PathStat says what lies at a path of a container.
type PathStat struct {
	fs.FileInfo
	Target string // of a link: where it leads, as a path of the container
}

// StatPath looks at a path of a container, which may run or not. A link at its end is not followed, unless the path ends
// with a slash.
func (e *Engine) StatPath(ctx context.Context, ref, name string) (PathStat, error) {
	var stat PathStat
	err := e.withFiles(ctx, ref, withMounts, func(v *fileView) error {
		c := &copying{e: e, src: CopyPlace{Container: ref, Path: name}}
		src, err := c.source(side{v})
		if err != nil {
			return err
		}
		defer src.file.Close()
		info, err := src.file.Stat()
		if err != nil {
			return err
		}
		stat.FileInfo = calledAs{info, path.Base(side{v}.clean(name))}
		if info.Mode()&fs.ModeSymlink != 0 {
			stat.Target, err = linkTarget(src.file, side{v}.clean(name))
		}
		return err
	})
	return stat, err
}

// calledAs is a file by the name that was asked for: the open file is known by where it was found.
type calledAs struct {
	fs.FileInfo
	name string
}

func (n calledAs) Name() string { return n.name }

// linkTarget reads a link that is open with O_PATH; name is where it lies.
func linkTarget(link *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	target := string(buf[:n])
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(name), target)
	}
	return path.Clean("/" + target), nil
}
