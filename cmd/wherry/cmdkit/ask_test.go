package cmdkit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " y \n": true, "y": true, "n\n": false, "\n": false, "": false, "yess\n": false} {
		var out bytes.Buffer
		env := &Env{In: strings.NewReader(answer), Out: &out}
		if got := env.Confirm(t.Context(), "This will remove it."); got != want {
			t.Errorf("%q is taken as %t", answer, got)
		}
		if !strings.HasPrefix(out.String(), "WARNING! This will remove it.\nAre you sure you want to continue? [y/N] ") {
			t.Errorf("%q", out.String())
		}
	}
}

// Ctrl-C at a question must end the command although the read of the terminal goes on waiting.
func TestAskEndsWithContext(t *testing.T) {
	never, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := &Env{In: never, Out: io.Discard}
	err := env.Ask(ctx, func() error {
		_, err := never.Read(make([]byte, 1))
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if env.Confirm(ctx, "") {
		t.Error("a question that was broken off counts as yes")
	}
}
