package libpod

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/lazyjson"
)

// addDevices lets the companion add the devices that are named as in CDI; most containers have none.
func (s *startup) addDevices(ctx context.Context, sp *specs.Spec) (*specs.Spec, error) {
	names := s.c.Security.CDI
	if len(names) == 0 {
		return sp, nil
	}
	ask := spec.CDIRequest{Spec: sp, Devices: names, Dirs: s.e.opts.CDIDirs, Rootless: s.e.host().rootless}
	data, err := lazyjson.Marshal(&ask)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.e.dirs.Libexec, "wherry-cdi")
	cmd := exec.CommandContext(ctx, path)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &out, &errs
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(errs.String()); text != "" {
			return nil, errdefs.New(errdefs.ErrNotFound, "%s", text)
		}
		return nil, fmt.Errorf("start %s: %w (is wherry installed completely?)", path, err)
	}
	changed := &specs.Spec{}
	if err := json.Unmarshal(out.Bytes(), changed); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return changed, nil
}
