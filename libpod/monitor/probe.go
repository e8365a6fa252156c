package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// Probe lets the monitor check the container's health now, and returns the check's exit code and output; -1 when the
// container ended meanwhile or has no health check.
func Probe(ctx context.Context, socket string) (code int, output string, err error) {
	conn, err := Dial(socket)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	c, err := newConnection(conn)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	if err := sendMessage(c, MsgProbe, nil); err != nil {
		return 0, "", fmt.Errorf("ask for a health check: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, MaxData+1)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, "", ctx.Err()
		}
		if n == 0 || err != nil {
			return 0, "", ErrMonitorGone
		}
		if buf[0] == MsgHealth && n >= 5 {
			return int(int32(binary.LittleEndian.Uint32(buf[1:]))), string(buf[5:n]), nil
		}
		if buf[0] == MsgExit {
			return -1, "", nil
		}
	}
}
