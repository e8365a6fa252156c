package network

import (
	"os"

	"github.com/wherry-containers/wherry/network/rootless"
)

// Namespace is the network namespace of a container, which the kernel takes a while to make.
type Namespace struct {
	made chan *os.File
	err  error
}

// NewNamespace begins to make one. Attach takes it, or the caller drops it.
func NewNamespace() *Namespace {
	n := &Namespace{made: make(chan *os.File, 1)}
	go func() {
		defer close(n.made)
		f, err := rootless.NewNamespace(false)
		if n.err = err; err == nil {
			n.made <- f
		}
	}()
	return n
}

func (n *Namespace) take() (*os.File, error) {
	f := <-n.made
	return f, n.err
}

// Drop lets it go if nobody has taken it.
func (n *Namespace) Drop() {
	if n == nil {
		return
	}
	if f := <-n.made; f != nil {
		f.Close()
	}
}
