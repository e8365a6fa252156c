package system

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/container"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/image/list"
)

const usageTable = `{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}`

// usageRow is one line of `system df`: the fields of Docker, then those of Podman.
type usageRow struct {
	Active      string
	Reclaimable string
	Size        string
	TotalCount  string
	Type        string

	Total          int
	RawSize        int64
	RawReclaimable int64
}

// Headings are Docker's.
func (usageRow) Headings() map[string]string { return map[string]string{"TotalCount": "TOTAL"} }

// DiskUsage is `wherry system df`.
func DiskUsage(env *cmdkit.Env) *cli.Command {
	var format string
	var verbose bool
	return &cli.Command{
		Name: "df", Usage: "Show what takes room in the store",
		Flags: []cli.Flag{
			cmdkit.String(&format, "format", "Print as `table|json|TEMPLATE`"),
			cmdkit.Bool(&verbose, "verbose v", "Show each image, container and volume"),
		},
		Action: func(c *cli.Context) error { return diskUsage(c.Context, env, format, verbose) },
	}
}

func diskUsage(ctx context.Context, env *cmdkit.Env, format string, verbose bool) error {
	usage, err := libpod.New(env.Dirs, libpod.EngineOptions{Warn: env.Warn}).Usage(ctx)
	if err != nil {
		return err
	}
	if verbose {
		return verboseUsage(env, usage, format)
	}
	return env.Print(summaryRows(usage), format, usageTable)
}

func summaryRows(u *libpod.Usage) []usageRow {
	images, containers, volumes := usageRow{Type: "Images"}, usageRow{Type: "Containers"}, usageRow{Type: "Local Volumes"}
	cache := usageRow{Type: "Build Cache", Total: len(u.BuildCache)}
	var active [4]int
	images.Total, containers.Total, volumes.Total = len(u.Images), len(u.Containers), len(u.Volumes)
	images.RawSize, images.RawReclaimable = u.ImageBytes()
	for i := range u.Images {
		active[0] += min(1, u.Images[i].Containers)
	}
	for i := range u.Containers {
		c := &u.Containers[i]
		containers.RawSize += c.SizeRw
		if c.Active() {
			active[1]++
		} else {
			containers.RawReclaimable += c.SizeRw
		}
	}
	for i := range u.Volumes {
		v := &u.Volumes[i]
		volumes.RawSize += v.Size
		active[2] += min(1, v.Containers)
		if v.Containers == 0 {
			volumes.RawReclaimable += v.Size
		}
	}
	for _, e := range u.BuildCache {
		if e.InUse {
			active[3]++
		}
	}
	cache.RawSize, cache.RawReclaimable = buildcache.Total(u.BuildCache)
	rows := []usageRow{images, containers, volumes, cache}
	for i := range rows {
		r := &rows[i]
		r.Active, r.TotalCount, r.Size, r.Reclaimable = fmt.Sprint(active[i]), fmt.Sprint(r.Total), list.Size(r.RawSize), list.Size(r.RawReclaimable)
		if r.RawSize > 0 {
			r.Reclaimable += fmt.Sprintf(" (%d%%)", r.RawReclaimable*100/r.RawSize)
		}
	}
	return rows
}

// verboseImage is an image in `system df --verbose`; verboseVolume a volume; a container is a row of ps.
type verboseImage struct {
	Repository  string
	Tag         string
	ID          string
	CreatedAt   string
	CreatedText string `json:"CreatedSince"`
	Size        string
	SharedSize  string
	UniqueSize  string
	Containers  string
}

// Headings are Docker's.
func (verboseImage) Headings() map[string]string {
	return map[string]string{"ID": "IMAGE ID", "CreatedText": "CREATED", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE"}
}

type verboseVolume struct {
	Name       string
	Links      string
	Size       string
	Driver     string
	Mountpoint string
	Labels     string
}

// Headings are Docker's.
func (verboseVolume) Headings() map[string]string { return map[string]string{"Name": "VOLUME NAME"} }

const (
	imageUsageTable     = `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedText}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}`
	containerUsageTable = `{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}`
	volumeUsageTable    = `{{.Name}}\t{{.Links}}\t{{.Size}}`
)

// verboseDocument is what a template of `system df -v` sees, and its JSON.
type verboseDocument struct {
	Images     []verboseImage
	Containers []container.Row
	Volumes    []verboseVolume
	BuildCache []list.CacheRow
}

func verboseUsage(env *cmdkit.Env, u *libpod.Usage, format string) error {
	doc := verboseDocument{Images: imageRows(u.Images), Containers: container.Rows(u.Containers), Volumes: volumeRows(u.Volumes), BuildCache: list.CacheRows(u.BuildCache, time.Now())}
	if format != "" && format != "table" {
		return env.PrintOne(doc, format)
	}
	for _, part := range []struct {
		title, table string
		rows         any
	}{
		{"Images", imageUsageTable, doc.Images},
		{"Containers", containerUsageTable, doc.Containers},
		{"Local Volumes", volumeUsageTable, doc.Volumes},
	} {
		fmt.Fprintf(env.Out, "%s space usage:\n\n", part.title)
		if err := env.Print(part.rows, "", part.table); err != nil {
			return err
		}
		fmt.Fprintln(env.Out)
	}
	total, _ := buildcache.Total(u.BuildCache)
	fmt.Fprintf(env.Out, "Build cache usage: %s\n", list.Size(total))
	if len(doc.BuildCache) == 0 {
		return nil
	}
	fmt.Fprintln(env.Out)
	return env.Print(doc.BuildCache, "", list.CacheTypeTable)
}

func imageRows(images []libpod.ImageUsage) []verboseImage {
	rows := []verboseImage{}
	for i := range images {
		img := &images[i]
		row := verboseImage{Repository: "<none>", Tag: "<none>", ID: list.ShortID(img.ID), CreatedText: units.HumanDuration(time.Since(img.Created)) + " ago",
			CreatedAt: img.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), Size: list.Size(img.Size), SharedSize: list.Size(img.Shared),
			UniqueSize: list.Size(img.Size - img.Shared), Containers: fmt.Sprint(img.Containers)}
		if len(img.Names) > 0 {
			name := list.ParseName(img.Names[0])
			row.Repository, row.Tag = name.Repository, name.Tag
		}
		rows = append(rows, row)
	}
	return rows
}

func volumeRows(volumes []libpod.VolumeUsage) []verboseVolume {
	rows := []verboseVolume{}
	for _, v := range volumes {
		var labels []string
		for key, value := range v.Labels {
			labels = append(labels, key+"="+value)
		}
		rows = append(rows, verboseVolume{Name: v.Name, Links: fmt.Sprint(v.Containers), Size: list.Size(v.Size), Driver: v.Driver,
			Mountpoint: v.Mountpoint, Labels: strings.Join(labels, ",")})
	}
	return rows
}
