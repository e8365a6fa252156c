package compose

import (
	"encoding/json"
	"io"

	"github.com/docker/cli/cli/command"
)

// Metadata tells the docker command line what kind of plugin we are.
func Metadata(w io.Writer, version string) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]string{
		"SchemaVersion": "0.1.0", "Vendor": "wherry", "Version": "v" + version, "ShortDescription": "Docker Compose, by wherry without a service",
	})
}

// Commands are the names of Compose's commands and what each does, by name; hidden ones are left out.
func Commands() [][2]string {
	docker, err := command.NewDockerCli(command.WithOutputStream(io.Discard), command.WithErrorStream(io.Discard))
	if err != nil {
		return nil
	}
	root, _ := (&session{Options: Options{Program: "wherry"}, docker: docker}).root()
	var list [][2]string
	for _, c := range root.Commands()[0].Commands() {
		if !c.Hidden {
			list = append(list, [2]string{c.Name(), c.Short})
		}
	}
	return list
}
