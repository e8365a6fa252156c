package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	pullLayers   = 5
	pullLayerMiB = 100
)

// pullRow times the pull of a 500 MB image (incompressible layers) from a registry on loopback.
func pullRow(at places, peers []*peer, rep *report) error {
	registry, address, err := startRegistry(at)
	if err != nil {
		return err
	}
	defer func() {
		registry.Process.Kill()
		registry.Wait()
	}()
	ref := address + "/bench/big:latest"
	if err := pushBig(at, ref); err != nil {
		return err
	}
	r := row{
		name: "pull", title: fmt.Sprintf("pull of %d MB from loopback", pullLayers*pullLayerMiB), rounds: 3, peers: engines,
		job:     func(p *peer, _ int) job { return once(p.cmd("pull", "-q", "--tls-verify=false", ref)) },
		after:   func(p *peer, _ int) [][]string { return [][]string{p.cmd("rmi", ref)} },
		against: noSlowerThan("podman"),
	}
	medians, err := measure(r, peers, r.rounds)
	rep.add(r, medians)
	return err
}

// startRegistry runs Debian's docker-registry on a free port until it answers.
func startRegistry(at places) (*exec.Cmd, string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address := listener.Addr().String()
	listener.Close()
	config := filepath.Join(at.dir, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n",
		filepath.Join(at.dir, "registry"), address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, "", err
	}
	cmd := exec.Command("docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("%w (apt install docker-registry)", err)
	}
	for range 100 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return cmd, address, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	cmd.Process.Kill()
	return nil, "", fmt.Errorf("docker-registry does not answer on %s", address)
}

// pushBig makes an image of random layers as an OCI layout, and pushes it.
func pushBig(at places, ref string) error {
	dir := filepath.Join(at.dir, "pulled")
	if err := writeLayout(dir, pullLayers, pullLayerMiB<<20); err != nil {
		return err
	}
	out, err := exec.Command("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "oci:"+dir+":latest", "docker://"+ref).CombinedOutput()
	if err != nil {
		return fmt.Errorf("skopeo copy: %w: %s", err, out)
	}
	return os.RemoveAll(dir)
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}
