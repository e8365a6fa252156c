package image

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/containers/image/v5/docker/reference"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/registry"
)

// explainRegistry is for a transfer from or to a registry.
func explainRegistry(doing string, err error, named reference.Named) error {
	if local := explainLocalFault(doing+" "+named.String(), err); local != nil {
		return local
	}
	if errors.As(err, new(*errdefs.Kinded)) {
		return err
	}
	return registry.Explain(doing, err, registry.PlaceOf(named))
}

// explainLocal puts a fault of this machine into one line.
func explainLocal(doing string, err error) error {
	if err == nil {
		return nil
	}
	if local := explainLocalFault(doing, err); local != nil {
		return local
	}
	if errors.As(err, new(*errdefs.Kinded)) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, joinLines(err))
}

// explainLocalFault knows a full disk and missing permissions; nil means it is something else.
func explainLocalFault(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), strings.Contains(err.Error(), "no space left on device"):
		return errdefs.New(syscall.ENOSPC, "%s: no space left on the device%s (free some: wherry image prune)", doing, pathOf(err))
	case errors.Is(err, syscall.EDQUOT):
		return errdefs.New(syscall.EDQUOT, "%s: disk quota exceeded%s (free some: wherry image prune)", doing, pathOf(err))
	case strings.Contains(err.Error(), "there might not be enough IDs available"):
		return errdefs.New(syscall.EINVAL, "%s: the image has files of users that this user name space has no ids for (add a range to /etc/subuid and /etc/subgid: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)", doing)
	}
	return nil
}

func pathOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return " at " + path.Path
	}
	return ""
}

// lined is an error whose text was joined to one line.
type lined struct {
	err  error
	text string
}

func (l *lined) Error() string { return l.text }
func (l *lined) Unwrap() error { return l.err }

func joinLines(err error) error {
	text := err.Error()
	if !strings.ContainsAny(text, "\n\r") {
		return err
	}
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return &lined{err: err, text: strings.Join(fields, "; ")}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
