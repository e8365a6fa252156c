package monitor

import (
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// followTerminal puts the client's terminal in raw mode and passes its size on, now and at each change. restore
// undoes it. Without a terminal it does nothing.
func followTerminal(c *os.File, streams Streams) (restore func(), err error) {
	restore = func() {}
	sized := terminalOf(streams.Stdout)
	if typed := terminalOf(streams.Stdin); typed != nil {
		sized = typed
		old, err := term.MakeRaw(int(typed.Fd()))
		if err != nil {
			return nil, fmt.Errorf("set terminal to raw mode: %w", err)
		}
		restore = func() { term.Restore(int(typed.Fd()), old) }
	}
	if sized == nil {
		return restore, nil
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	changed <- unix.SIGWINCH // the size it has now
	go func() {
		for range changed {
			if columns, rows, err := term.GetSize(int(sized.Fd())); err == nil {
				Resize(c, uint16(rows), uint16(columns))
			}
		}
	}()
	raw := restore
	return func() {
		signal.Stop(changed)
		close(changed)
		raw()
	}, nil
}

// terminalOf is the file behind a stream if that is a terminal, else nil.
func terminalOf(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || f == nil || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}
