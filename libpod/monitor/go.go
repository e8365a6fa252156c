package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// ErrStopped says that an initialized container was stopped before its command was started.
var ErrStopped = errors.New("the container was stopped before its command was started")

// Go lets the command of an initialized container go (Job.GoArgs), and returns once it runs. With stay the connection is
// that of its first client from then on. The kinds of error are those of Report.
func Go(ctx context.Context, conn *os.File, stay bool) error {
	c, err := newConnection(conn)
	if err != nil {
		return err
	}
	defer c.Close()
	word := []byte{MsgGo, 0}
	if stay {
		word[1] = 1
	}
	if _, err := c.Write(word); err != nil {
		return fmt.Errorf("tell the container's monitor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, MaxData+1)
	for {
		n, err := c.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ctx.Err()
		case n == 0 || err != nil:
			return ErrMonitorGone
		case buf[0] == MsgExit:
			return ErrStopped
		case buf[0] != MsgGone || n < 5:
			continue
		}
		if exit := int(int32(binary.LittleEndian.Uint32(buf[1:]))); exit == GoneStopped {
			return ErrStopped
		}
		return startError(string(buf[5:n]), int(int32(binary.LittleEndian.Uint32(buf[1:]))))
	}
}

// startError is why a container could not be started, with the kind that its exit status stands for; nil for no text.
func startError(text string, exit int) error {
	switch {
	case text == "":
		return nil
	case exit == errdefs.ExitNotFound:
		return errdefs.New(errdefs.ErrNoCommand, "%s", text)
	case exit == errdefs.ExitNotExecutable:
		return errdefs.New(errdefs.ErrNotExecutable, "%s", text)
	}
	return errors.New(text)
}
