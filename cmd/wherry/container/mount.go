package container

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Mount is `wherry mount`.
func Mount(env *cmdkit.Env) *cli.Command {
	var sel selection
	var list MountList
	return &cli.Command{
		Name: "mount", Usage: "Mount containers' root file systems, or list those mounted", ArgsUsage: "[CONTAINER...]",
		Description: "Without root it works inside of `wherry unshare` only: elsewhere nobody could see the mount.",
		Flags: append(list.Flags(),
			cmdkit.Bool(&sel.all, "all a", "Mount all containers"),
			cmdkit.Bool(&sel.latest, "latest l", "The newest container")),
		Action: func(c *cli.Context) error {
			e := engine(env)
			if c.Args().Len() == 0 && !sel.all && !sel.latest {
				mounted, err := e.MountedContainers(c.Context)
				if err != nil {
					return err
				}
				return list.Print(env, mounted)
			}
			refs, err := sel.refs(c.Context, e, c.Args().Slice())
			if err != nil {
				return err
			}
			return MountEach(env, refs, sel.all, func(ref string) (string, error) { return e.MountContainer(c.Context, ref) })
		},
	}
}

// Unmount is `wherry unmount`.
func Unmount(env *cmdkit.Env) *cli.Command {
	var sel selection
	var force bool
	return &cli.Command{
		Name: "unmount", Usage: "Unmount containers' root file systems that mount mounted", ArgsUsage: "[CONTAINER...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&sel.all, "all a", "Unmount all that are mounted"),
			cmdkit.Bool(&sel.latest, "latest l", "The newest container"),
			cmdkit.Bool(&force, "force f", "A container that is not mounted is no error"),
		},
		Action: func(c *cli.Context) error {
			e := engine(env)
			refs := c.Args().Slice()
			if sel.all && len(refs) == 0 {
				mounted, err := e.MountedContainers(c.Context)
				if err != nil {
					return err
				}
				return UnmountEach(env, ids(mounted), true, func(ref string) error { return e.UnmountContainer(c.Context, ref) })
			}
			refs, err := sel.refs(c.Context, e, refs)
			if err != nil {
				return err
			}
			return UnmountEach(env, refs, force, func(ref string) error { return e.UnmountContainer(c.Context, ref) })
		},
	}
}

func ids(mounted []libpod.Mounted) []string {
	var list []string
	for _, m := range mounted {
		list = append(list, m.ID)
	}
	return list
}

// MountList is how what is mounted is listed.
type MountList struct {
	format  string
	noTrunc bool
}

// Flags are those of the listing.
func (l *MountList) Flags() []cli.Flag {
	return []cli.Flag{
		cmdkit.String(&l.format, "format", "List what is mounted as `json` or by a Go template"),
		cmdkit.Bool(&l.noTrunc, "no-trunc notruncate", "List whole ids"),
	}
}

// mountRow is a row of mount without operands, with Podman's keys.
type mountRow struct {
	ID         string   `json:"id"`
	Names      []string `json:"Repositories"`
	Mountpoint string   `json:"mountpoint"`
}

// Print lists what is mounted.
func (l *MountList) Print(env *cmdkit.Env, mounted []libpod.Mounted) error {
	rows := make([]mountRow, len(mounted))
	for i, m := range mounted {
		id := m.ID
		if !l.noTrunc && l.format == "" {
			id = id[:min(12, len(id))]
		}
		rows[i] = mountRow{id, m.Names, m.Path}
	}
	if l.format != "" {
		return env.Print(rows, l.format, "{{.ID}}\t{{.Mountpoint}}")
	}
	for _, r := range rows {
		fmt.Fprintf(env.Out, "%s %s\n", r.ID, r.Mountpoint)
	}
	return nil
}

// MountEach mounts, and prints where: of several also what.
func MountEach(env *cmdkit.Env, refs []string, all bool, mount func(ref string) (string, error)) error {
	return cmdkit.Each(env, refs, func(ref string) (string, error) {
		path, err := mount(ref)
		if len(refs) == 1 && !all || err != nil {
			return path, err
		}
		return ref + " " + path, nil
	})
}

// UnmountEach unmounts. With lenient what is not mounted is no error.
func UnmountEach(env *cmdkit.Env, refs []string, lenient bool, unmount func(ref string) error) error {
	return cmdkit.Each(env, refs, func(ref string) (string, error) {
		err := unmount(ref)
		if lenient && errors.Is(err, errdefs.ErrState) {
			return "", nil
		}
		return ref, err
	})
}

// Engine is the engine on the store of env, for commands about images that work on files of containers too.
func Engine(env *cmdkit.Env) *libpod.Engine { return engine(env) }
