package container

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// wish is what the flags of create and run say. Most bind into its RunOptions; the rest is settled by finish.
type wish struct {
	libpod.RunOptions
	env           environment
	interactive   bool
	attach        []string
	quiet         bool
	kernelMemory  bool // --kernel-memory was given
	logOpts       map[string]string
	volumeDriver  string
	readOnlyTmpfs bool
	pullArgs      []string // flags for the companion's pull
	platform      platformParts
	network       networkWish
	given         []cli.Flag // the flags that are bound to this wish
}

// laterFlags are those of Docker's and Podman's run and create that are not there yet.
const laterFlags = `hosts-file link-local-ip pod pod-id-file`

// Create is `wherry create`.
func Create(env *cmdkit.Env) *cli.Command {
	w := newWish(env)
	return &cli.Command{
		Name: "create", Usage: "Make a container without starting it", ArgsUsage: "IMAGE [COMMAND [ARG...]]",
		Flags:  append(w.flags(), cmdkit.Later("init-ctr "+laterFlags)...),
		Action: func(c *cli.Context) error { return create(c.Context, env, w, c.Args().Slice()) },
	}
}

func create(ctx context.Context, env *cmdkit.Env, w *wish, operands []string) error {
	if err := w.finish(ctx, env, operands); err != nil {
		return err
	}
	id, err := engine(env).Create(ctx, w.CreateOptions)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, id)
	return err
}

func newWish(env *cmdkit.Env) *wish {
	w := &wish{env: environment{environ: env.Environ}}
	w.Config.Log.Driver = logdriver.JSONFile
	w.Attach.SigProxy = true
	w.readOnlyTmpfs = env.Program != "docker" // which has no such thing
	return w
}

func (w *wish) flags() []cli.Flag {
	var flags []cli.Flag
	for _, group := range [][]cli.Flag{w.processFlags(), w.env.flags(), w.envFlags(), w.startFlags(), w.lifeFlags(), w.logFlags(), w.mountFlags(), w.securityFlags(), w.namespaceFlags(), w.setupFlags(),
		w.resourceFlags(), w.groupFlags(), w.deviceFlags(), windowsFlags(), w.healthFlags(), w.networkFlags(), w.imageFlags()} {
		flags = append(flags, group...)
	}
	w.given = flags
	return flags
}

// finish settles what no flag can by itself: the operands, and what flags say about each other.
func (w *wish) finish(ctx context.Context, env *cmdkit.Env, operands []string) error {
	cfg := &w.Config
	cfg.Image.Name, w.Command = operands[0], operands[1:]
	if err := w.applyConf(env); err != nil {
		return err
	}
	w.Env = w.env.list()
	if err := w.settlePlatform(); err != nil {
		return err
	}
	if cfg.Lifecycle.AutoRemove && cfg.Lifecycle.Restart != "" && cfg.Lifecycle.Restart != "no" {
		return cmdkit.Usagef("--rm and --restart=%s do not go together", cfg.Lifecycle.Restart)
	}
	if err := w.finishLimits(env); err != nil {
		return err
	}
	if err := w.checkHealth(); err != nil {
		return err
	}
	if err := w.finishNamespaces(); err != nil {
		return err
	}
	if err := w.finishLog(); err != nil {
		return err
	}
	if err := w.network.finish(&cfg.Network); err != nil {
		return err
	}
	if err := w.finishMounts(); err != nil {
		return err
	}
	cfg.Process.OpenStdin = w.interactive
	if err := w.connect(env); err != nil {
		return err
	}
	w.PullImage = puller(ctx, env, w.quiet, w.pullArgs)
	return nil
}

// connect decides which streams a foreground run is connected to: those of -a, else both outputs, and standard
// input with -i.
func (w *wish) connect(env *cmdkit.Env) error {
	if w.Detach {
		if len(w.attach) > 0 {
			return cmdkit.Usagef("--detach and --attach do not go together")
		}
		return nil
	}
	wants := func(name string, byDefault bool) bool {
		if len(w.attach) == 0 {
			return byDefault
		}
		return slices.Contains(w.attach, name)
	}
	if wants("stdin", true) && w.interactive {
		w.Attach.Stdin = env.InFile
		w.Config.Process.StdinOnce = true
	}
	w.Attach.NoStdin = w.Attach.Stdin == nil
	if wants("stdout", true) {
		w.Attach.Stdout = env.OutFile
	}
	if wants("stderr", true) {
		w.Attach.Stderr = env.ErrFile
	}
	return nil
}

func (w *wish) checkHealth() error {
	if w.NoHealth && w.HealthSet {
		return cmdkit.Usagef("--no-healthcheck does not go with the other --health flags")
	}
	return nil
}
