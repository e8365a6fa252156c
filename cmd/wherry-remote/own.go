package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// own are the commands about the service as a whole, which docker's tree has together with those about swarms.
func own(env *cmdkit.Env, c *client.Client) []*cobra.Command {
	system := &cobra.Command{Use: "system", Short: "Look after the service"}
	system.AddCommand(info(env, c), eventsOf(env, c), diskUsage(env, c))
	return []*cobra.Command{versions(env, c), info(env, c), eventsOf(env, c), inspect(env, c), search(env, c), system}
}

// show prints one document as JSON or by a template.
func show(env *cmdkit.Env, doc any, format string) error { return env.PrintOne(doc, format) }

func versions(env *cmdkit.Env, c *client.Client) *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "version", Short: "Show the versions of client and service", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		v, err := c.ServerVersion(cmd.Context(), client.ServerVersionOptions{})
		if err != nil {
			return err
		}
		return show(env, map[string]any{"Client": map[string]string{"Version": env.Version, "APIVersion": c.ClientVersion()}, "Server": v}, format)
	}}
	cmd.Flags().StringVarP(&format, "format", "f", "", "Print as json|TEMPLATE")
	return cmd
}

func info(env *cmdkit.Env, c *client.Client) *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "info", Short: "Show what the service knows of its machine", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		i, err := c.Info(cmd.Context(), client.InfoOptions{})
		if err != nil {
			return err
		}
		return show(env, i.Info, format)
	}}
	cmd.Flags().StringVarP(&format, "format", "f", "", "Print as json|TEMPLATE")
	return cmd
}

func eventsOf(env *cmdkit.Env, c *client.Client) *cobra.Command {
	var opts client.EventsListOptions
	var filters []string
	var format string
	cmd := &cobra.Command{Use: "events", Short: "Show what happens, as it happens", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		opts.Filters = client.Filters{}
		for _, f := range filters {
			key, value, ok := strings.Cut(f, "=")
			if !ok {
				return fmt.Errorf("invalid --filter %q: want KEY=VALUE", f)
			}
			opts.Filters.Add(key, value)
		}
		stream := c.Events(cmd.Context(), opts)
		for {
			select {
			case m := <-stream.Messages:
				if err := printEvent(env, m, format); err != nil {
					return err
				}
			case err := <-stream.Err:
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	}}
	cmd.Flags().StringVar(&opts.Since, "since", "", "Begin at TIME")
	cmd.Flags().StringVar(&opts.Until, "until", "", "End at TIME")
	cmd.Flags().StringArrayVarP(&filters, "filter", "f", nil, "Only events for which KEY=VALUE holds")
	cmd.Flags().StringVar(&format, "format", "", "Print as json|TEMPLATE")
	return cmd
}

func printEvent(env *cmdkit.Env, m events.Message, format string) error {
	switch format {
	case "":
	case "json":
		return json.NewEncoder(env.Out).Encode(m)
	default:
		return show(env, m, format)
	}
	var attrs []string
	for key, value := range m.Actor.Attributes {
		attrs = append(attrs, key+"="+value)
	}
	slices.Sort(attrs)
	_, err := fmt.Fprintf(env.Out, "%s %s %s %s (%s)\n", time.Unix(0, m.TimeNano).Format(time.RFC3339Nano), m.Type, m.Action, m.Actor.ID, strings.Join(attrs, ", "))
	return err
}

// inspectors look for an object of one kind.
func inspectors(c *client.Client) map[string]func(ctx context.Context, name string) (any, error) {
	return map[string]func(ctx context.Context, name string) (any, error){
		"container": func(ctx context.Context, name string) (any, error) {
			r, err := c.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
			return r.Container, err
		},
		"image": func(ctx context.Context, name string) (any, error) {
			r, err := c.ImageInspect(ctx, name)
			return r.InspectResponse, err
		},
		"network": func(ctx context.Context, name string) (any, error) {
			r, err := c.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
			return r.Network, err
		},
		"volume": func(ctx context.Context, name string) (any, error) {
			r, err := c.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
			return r.Volume, err
		},
	}
}

func inspect(env *cmdkit.Env, c *client.Client) *cobra.Command {
	var format, kind string
	cmd := &cobra.Command{Use: "inspect", Short: "Show everything about objects", Args: cobra.MinimumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		kinds := []string{"container", "image", "network", "volume"}
		if kind != "" {
			if !slices.Contains(kinds, kind) {
				return fmt.Errorf("invalid --type %q: want %s", kind, strings.Join(kinds, ", "))
			}
			kinds = []string{kind}
		}
		return cmdkit.Inspect(env, args, format, func(name string) (*any, error) { return find(cmd.Context(), c, kinds, name) })
	}}
	cmd.Flags().StringVarP(&format, "format", "f", "", "Print as json|TEMPLATE")
	cmd.Flags().StringVar(&kind, "type", "", "Only container|image|network|volume")
	return cmd
}

func find(ctx context.Context, c *client.Client, kinds []string, name string) (*any, error) {
	look := inspectors(c)
	for _, kind := range kinds {
		doc, err := look[kind](ctx, name)
		if err == nil {
			return &doc, nil
		}
		if !cerrdefs.IsNotFound(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no such object: %s", name)
}

// found is a row of search.
type found struct {
	Name        string
	Description string
	Stars       int
	Official    bool
}

func search(env *cmdkit.Env, c *client.Client) *cobra.Command {
	var limit int
	var format string
	cmd := &cobra.Command{Use: "search TERM", Short: "Search registries for images", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		r, err := c.ImageSearch(cmd.Context(), args[0], client.ImageSearchOptions{Limit: limit})
		if err != nil {
			return err
		}
		rows := make([]found, len(r.Items))
		for i, item := range r.Items {
			rows[i] = found{item.Name, item.Description, item.StarCount, item.IsOfficial}
		}
		return env.Print(rows, format, "{{.Name}}\t{{.Description}}\t{{.Stars}}\t{{.Official}}")
	}}
	cmd.Flags().IntVar(&limit, "limit", 25, "At most so many")
	cmd.Flags().StringVar(&format, "format", "", "Print as table|json|TEMPLATE")
	return cmd
}

// usage is a row of system df.
type usage struct {
	Type        string
	TotalCount  int64
	Active      int64
	Size        string
	Reclaimable string
}

func diskUsage(env *cmdkit.Env, c *client.Client) *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "df", Short: "Show what takes room", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		u, err := c.DiskUsage(cmd.Context(), client.DiskUsageOptions{Containers: true, Images: true, Volumes: true, BuildCache: true})
		if err != nil {
			return err
		}
		row := func(kind string, total, active, size, free int64) usage {
			return usage{kind, total, active, units.HumanSize(float64(size)), units.HumanSize(float64(free))}
		}
		rows := []usage{
			row("Images", u.Images.TotalCount, u.Images.ActiveCount, u.Images.TotalSize, u.Images.Reclaimable),
			row("Containers", u.Containers.TotalCount, u.Containers.ActiveCount, u.Containers.TotalSize, u.Containers.Reclaimable),
			row("Local Volumes", u.Volumes.TotalCount, u.Volumes.ActiveCount, u.Volumes.TotalSize, u.Volumes.Reclaimable),
			row("Build Cache", u.BuildCache.TotalCount, u.BuildCache.ActiveCount, u.BuildCache.TotalSize, u.BuildCache.Reclaimable),
		}
		return env.Print(rows, format, "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}")
	}}
	cmd.Flags().StringVar(&format, "format", "", "Print as table|json|TEMPLATE")
	return cmd
}
