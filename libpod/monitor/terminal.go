package monitor

import (
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// followTerminal puts the client's terminal in raw mode and passes its size on, now and at each change. restore
// undoes it. Without a terminal it does nothing.
func followTerminal(c *os.File, streams Streams) (restore func(), err error) {
	return rawTerminal(streams, func(rows, columns uint16) { Resize(c, rows, columns) })
}

// rawTerminal puts the caller's terminal in raw mode and tells resize its size, now and at each change.
func rawTerminal(streams Streams, resize func(rows, columns uint16)) (restore func(), err error) {
	raw := func() {}
	sized := terminalOf(streams.Stdout)
	if typed := terminalOf(streams.Stdin); typed != nil {
		sized = typed
		old, err := term.MakeRaw(int(typed.Fd()))
		if err != nil {
			return nil, fmt.Errorf("set terminal to raw mode: %w", err)
		}
		raw = func() { term.Restore(int(typed.Fd()), old) }
	}
	if sized == nil {
		return raw, nil
	}
	stop := followSize(sized, resize)
	return func() { stop(); raw() }, nil
}

// followSize tells resize the terminal's size, now and at each change, until stop.
func followSize(terminal *os.File, resize func(rows, columns uint16)) (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	changed <- unix.SIGWINCH // the size it has now
	go func() {
		for range changed {
			if columns, rows, err := term.GetSize(int(terminal.Fd())); err == nil {
				resize(uint16(rows), uint16(columns))
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		close(changed)
	}
}

// terminalOf is the file behind a stream if that is a terminal, else nil.
func terminalOf(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || f == nil || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// endOfInput is what ends the input of a container's terminal when Stdin, a pipe or file, came to its end with err:
// Ctrl-D, once after a whole line, twice after part of one. Nil where the terminal stays open.
func endOfInput(streams Streams, err error, last byte) []byte {
	const ctrlD = 4
	switch {
	case !streams.Terminal || !streams.EndsInput || err != io.EOF || terminalOf(streams.Stdin) != nil:
		return nil
	case last == '\n' || last == 0:
		return []byte{ctrlD}
	}
	return []byte{ctrlD, ctrlD}
}

// lastByte is the last one of data, or before where there is none.
func lastByte(data []byte, before byte) byte {
	if len(data) == 0 {
		return before
	}
	return data[len(data)-1]
}
