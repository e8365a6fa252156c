package record

import "io/fs"

// Secret is one --secret: a reference. The value is read at each start and is in no record.
type Secret struct {
	Name   string
	ID     string      // of the secret at create; the value is that of the secret of the name at the start
	Type   string      // mount, file or env: mounts are together one directory, a file leaves what else is in it
	Target string      // mount, file: absolute path; env: name of the variable
	UID    uint32      `json:",omitempty"` // owner of the file in the container
	GID    uint32      `json:",omitempty"`
	Mode   fs.FileMode `json:",omitempty"` // permissions of the file
}
