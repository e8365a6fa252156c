package libpod

import (
	"slices"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/store"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// mergeEnv lays the user's environment over the image's: a later NAME replaces an earlier one in place, NAME without
// "=" removes it. PATH is there in any case.
func mergeEnv(image, user []string) []string {
	env := spec.MergeEnv(image, user)
	if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
		env = append([]string{defaultPath}, env...)
	}
	return env
}

func mergeLabels(image, user map[string]string) map[string]string {
	if len(image) == 0 {
		return user
	}
	labels := make(map[string]string, len(image)+len(user))
	for k, v := range image {
		labels[k] = v
	}
	for k, v := range user {
		labels[k] = v
	}
	return labels
}

// addImageVolumes adds an anonymous volume, or what as says, for each VOLUME of the image that no mount of the user
// covers, and names the user's anonymous ones.
func addImageVolumes(mounts []record.Mount, volumes map[string]struct{}, as record.ImageVolume) []record.Mount {
	mounts = slices.Clone(mounts)
	for i := range mounts {
		if mounts[i].Type == "volume" && mounts[i].Source == "" {
			mounts[i].Source, mounts[i].Anonymous = newVolumeName(), true
		}
	}
	if as == record.ImageVolumeIgnore {
		return mounts
	}
	var targets []string
	for target := range volumes {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	for _, target := range targets {
		switch {
		case slices.ContainsFunc(mounts, func(m record.Mount) bool { return m.Target == target }):
		case as == record.ImageVolumeTmpfs:
			mounts = append(mounts, record.Mount{Type: "tmpfs", Target: target, Options: []string{"exec"}})
		default:
			mounts = append(mounts, record.Mount{Type: "volume", Source: newVolumeName(), Target: target, Anonymous: true})
		}
	}
	return mounts
}

// Docker's defaults of a health check.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

// imageHealth is the image's HEALTHCHECK with defaults filled in, or nil.
func imageHealth(img *store.Image) *record.Health {
	from := img.Config.Config.Healthcheck
	if from == nil || len(from.Test) == 0 || from.Test[0] == "NONE" {
		return nil
	}
	h := record.Health{Test: from.Test, Interval: from.Interval, Timeout: from.Timeout,
		StartPeriod: from.StartPeriod, StartInterval: from.StartInterval, Retries: from.Retries}
	return withHealthDefaults(&h)
}

// mergeHealth lays the user's settings over the image's. Without a test of either there is no health check.
func mergeHealth(user, image *record.Health) *record.Health {
	if image == nil {
		image = &record.Health{}
	}
	h := record.Health{
		Test:          user.Test,
		Interval:      firstPositive(user.Interval, image.Interval),
		Timeout:       firstPositive(user.Timeout, image.Timeout),
		StartPeriod:   firstPositive(user.StartPeriod, image.StartPeriod),
		StartInterval: firstPositive(user.StartInterval, image.StartInterval),
		Retries:       firstPositive(user.Retries, image.Retries),
		OnFailure:     user.OnFailure,
		Log:           mergeHealthLog(user.Log, image.Log),
		Startup:       mergeStartup(user.Startup, image.Startup),
	}
	if len(h.Test) == 0 {
		h.Test = image.Test
	}
	if len(h.Test) == 0 {
		return nil
	}
	return withHealthDefaults(&h)
}

func withHealthDefaults(h *record.Health) *record.Health {
	h.Interval = firstPositive(h.Interval, healthInterval)
	h.Timeout = firstPositive(h.Timeout, healthTimeout)
	h.StartInterval = firstPositive(h.StartInterval, healthStartInterval)
	h.Retries = firstPositive(h.Retries, healthRetries)
	return h
}

func firstPositive[T int | time.Duration](values ...T) T {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}
	return 0
}
