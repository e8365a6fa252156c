package layout

import "path/filepath"

// Secrets holds one directory per secret, named by its id. Nobody but the user may look into it.
func (d Dirs) Secrets() string { return filepath.Join(d.Data, "secrets", "ids") }

// SecretNames holds one symbolic link per name; its target is the secret's id.
func (d Dirs) SecretNames() string { return filepath.Join(d.Data, "secrets", "names") }

// VolumeRun is the run-time directory of volumes: who has one with options mounted.
func (d Dirs) VolumeRun() string { return filepath.Join(d.Run, "v") }
