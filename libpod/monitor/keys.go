package monitor

import (
	"errors"
	"io"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// DefaultDetachKeys is what detaches from a terminal if nothing else is asked for.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ParseDetachKeys reads a comma-separated sequence of keys, each a single character or ctrl-X with X a letter or
// one of @ [ \ ] ^ _. An empty sequence is the default.
func ParseDetachKeys(keys string) ([]byte, error) {
	if keys == "" {
		keys = DefaultDetachKeys
	}
	var sequence []byte
	for _, key := range strings.Split(keys, ",") {
		code, ok := detachKey(key)
		if !ok {
			return nil, errdefs.New(errdefs.ErrInvalid, "detach keys %q: %q is no key (want a character, or ctrl- and one of a-z @ [ \\ ] ^ _)", keys, key)
		}
		sequence = append(sequence, code)
	}
	return sequence, nil
}

func detachKey(key string) (byte, bool) {
	if len(key) == 1 {
		return key[0], true
	}
	name, ok := strings.CutPrefix(key, "ctrl-")
	if !ok || len(name) != 1 {
		return 0, false
	}
	c := name[0]
	switch {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 1, true
	case c == '@' || c >= '[' && c <= '_':
		return c - '@', true
	}
	return 0, false
}

// detacher finds the detach sequence in typed input. The keys of a sequence that has begun are held back until it
// is complete or broken.
type detacher struct {
	sequence []byte
	matched  int
	out      []byte
}

// take returns what of p is to be passed on, valid until the next call, and whether the sequence was typed.
func (d *detacher) take(p []byte) (pass []byte, detached bool) {
	d.out = d.out[:0]
	for _, b := range p {
		for d.matched > 0 && b != d.sequence[d.matched] {
			d.shift()
		}
		if len(d.sequence) == 0 || b != d.sequence[d.matched] {
			d.out = append(d.out, b)
			continue
		}
		d.matched++
		if d.matched == len(d.sequence) {
			d.matched = 0
			return d.out, true
		}
	}
	return d.out, false
}

// shift gives up the oldest of the keys that are held back, as few as leave a beginning of the sequence.
func (d *detacher) shift() {
	for drop := 1; drop <= d.matched; drop++ {
		if string(d.sequence[drop:d.matched]) == string(d.sequence[:d.matched-drop]) {
			d.out = append(d.out, d.sequence[:drop]...)
			d.matched -= drop
			return
		}
	}
}

// KeyReader passes on what is typed until the detach keys are.
type KeyReader struct {
	r    io.Reader
	keys detacher
	rest []byte // not handed on yet
	err  error
}

// ErrKeys says that the detach keys were typed.
var ErrKeys = errors.New("the detach keys were typed")

// NewKeyReader looks for sequence in what is read from r.
func NewKeyReader(r io.Reader, sequence []byte) *KeyReader {
	return &KeyReader{r: r, keys: detacher{sequence: sequence}}
}

// Read returns ErrKeys after all that came before the keys.
func (k *KeyReader) Read(p []byte) (int, error) {
	for len(k.rest) == 0 {
		if k.err != nil {
			return 0, k.err
		}
		buf := make([]byte, len(p))
		n, err := k.r.Read(buf)
		pass, typed := k.keys.take(buf[:n])
		k.rest, k.err = append(k.rest, pass...), err
		if typed {
			k.err = ErrKeys
		}
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}
