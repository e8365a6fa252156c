package store

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// archive writes a docker-archive of an image with two layers; the second removes a file of the first.
func archive(t *testing.T, path string) {
	t.Helper()
	layers := [][]byte{
		tarOf(t, map[string]string{"bin/sh": "#!", "etc/passwd": "root:x:0:0::/root:/bin/sh\n"}),
		tarOf(t, map[string]string{"two": "2", "etc/.wh.passwd": ""}),
	}
	files, ids, names := map[string]string{}, []string{}, []string{}
	for _, l := range layers {
		sum := sha256.Sum256(l)
		ids = append(ids, "sha256:"+hex.EncodeToString(sum[:]))
		name := hex.EncodeToString(sum[:]) + "/layer.tar"
		names = append(names, name)
		files[name] = string(l)
	}
	config, _ := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "created": "2024-01-02T03:04:05Z",
		"config": map[string]any{"Env": []string{"A=b"}, "Cmd": []string{"sh"}, "User": "root"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids}, "history": []map[string]any{{"created_by": "a"}, {"created_by": "b"}}})
	files["config.json"] = string(config)
	manifest, _ := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{"docker.io/library/fromdocker:1"}, "Layers": names}})
	files["manifest.json"] = string(manifest)
	if err := os.WriteFile(path, tarOf(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(content))
	}
	w.Close()
	return out.Bytes()
}

// TestPodmansStore: what Podman stored, in either format, is there at once when its store is named as additional.
func TestPodmansStore(t *testing.T) {
	podman, err := exec.LookPath("podman")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs podman and root")
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	archive(t, file)
	for _, driver := range []string{VFS, Overlay} {
		t.Run(driver, func(t *testing.T) {
			dir := t.TempDir()
			root := filepath.Join(dir, "graph")
			run := func(args ...string) []byte {
				cmd := exec.Command(podman, append([]string{"--root", root, "--runroot", dir + "/run", "--tmpdir", dir + "/tmp",
					"--storage-driver", driver, "--cgroup-manager=cgroupfs", "--events-backend=none"}, args...)...)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Skipf("podman does not work here: %v %s", err, out)
				}
				return out
			}
			run("load", "-q", "-i", file)
			t.Cleanup(func() { exec.Command("umount", "-l", filepath.Join(root, driver)).Run() })
			s := withConf(t, layout.Dirs{Data: t.TempDir()}, root)
			img := checkPodmans(t, s, driver)
			list, err := s.Images(t.Context())
			if err != nil || len(list) != 1 || list[0].Size != img.Size {
				t.Errorf("%+v %v", list, err)
			}
			var shown []struct {
				ID     string `json:"Id"`
				Digest string
			}
			if err := json.Unmarshal(run("image", "inspect", "fromdocker:1"), &shown); err != nil || shown[0].ID != img.ID || shown[0].Digest != img.Digest {
				t.Errorf("podman says %+v (%v), we %s %s", shown, err, img.ID, img.Digest)
			}
			run("rmi", "fromdocker:1")
			if _, err := s.Lookup(t.Context(), "fromdocker:1"); err == nil {
				t.Error("found after podman removed it")
			}
		})
	}
}

// checkPodmans looks the loaded image up and checks what a container needs of it.
func checkPodmans(t *testing.T, s *Store, driver string) *Image {
	t.Helper()
	img, err := s.Lookup(t.Context(), "fromdocker:1")
	if err != nil {
		t.Fatal(err)
	}
	if !img.ReadOnly || img.Driver != driver || len(img.Layers) != 2 || img.Config.Config.User != "root" || img.Size == 0 {
		t.Errorf("%+v", img)
	}
	if data, err := os.ReadFile(img.Lower[0] + "/two"); err != nil || string(data) != "2" {
		t.Errorf("%q %v", data, err)
	}
	if want := map[string]int{VFS: 1, Overlay: 2}[driver]; len(img.Lower) != want {
		t.Errorf("lower directories: %v", img.Lower)
	}
	return img
}
