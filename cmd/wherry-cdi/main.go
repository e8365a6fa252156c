// Command wherry-cdi adds devices that are described by the Container Device Interface to the configuration of a
// container: a companion of wherry, which hands it the configuration and takes it back.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/cdi"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(errdefs.ExitOurs)
	}
}

func run(in io.Reader, out io.Writer) error {
	var ask spec.CDIRequest
	if err := json.NewDecoder(in).Decode(&ask); err != nil || ask.Spec == nil {
		return fmt.Errorf("this program is started by wherry")
	}
	if err := cdi.Add(ask.Spec, ask.Devices, ask.Dirs, ask.Rootless); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(ask.Spec)
}
