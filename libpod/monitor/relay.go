package monitor

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Relay stands between the caller's terminal and the master of another one: input, output and size are passed on until
// the other side is closed, or the detach keys are typed, which it reports. The master is closed at the end.
func Relay(master *os.File, streams Streams) (detached bool, err error) {
	defer master.Close()
	sequence, err := ParseDetachKeys(streams.DetachKeys)
	if err != nil {
		return false, err
	}
	restore, err := rawTerminal(streams, func(rows, columns uint16) {
		unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	if err != nil {
		return false, err
	}
	defer restore()
	left := make(chan bool, 2)
	if streams.Stdin != nil {
		go func() {
			if typeInto(master, streams, sequence) {
				left <- true
			}
		}()
	}
	go func() {
		io.Copy(streams.Stdout, master) // ends with EIO when the other side is closed
		left <- false
	}()
	return <-left, nil
}

// typeInto passes typed input on until its end, or the detach sequence: then it returns true.
func typeInto(w io.Writer, streams Streams, sequence []byte) bool {
	keys := detacher{sequence: sequence}
	var last byte
	buf := make([]byte, 4096)
	for {
		n, err := streams.Stdin.Read(buf)
		pass, detached := keys.take(buf[:n])
		last = lastByte(pass, last)
		if err != nil {
			pass = append(pass, endOfInput(streams, err, last)...)
		}
		if _, werr := w.Write(pass); werr != nil || err != nil || detached {
			return detached
		}
	}
}
