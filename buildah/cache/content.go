package cache

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// maxContents bounds the file of one stack; a larger one is begun anew.
const maxContents = 1 << 20

// Content is the digest of what a selector, any text, selects in a stack of layers, if it is known.
func (c *Cache) Content(layers []string, selector string) (digest.Digest, bool) {
	name := stackName(layers)
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.contents[name]
	if !ok {
		known = readContents(filepath.Join(buildcache.ContentDir(c.dirs), name), layers)
		c.contents[name] = known
	}
	d, ok := known[selector]
	return d, ok
}

// PutContent remembers such a digest. That it could not be written is no error: it can be made again.
func (c *Cache) PutContent(layers []string, selector string, d digest.Digest) {
	if d.Validate() != nil {
		return
	}
	name := stackName(layers)
	c.mu.Lock()
	if c.contents[name] == nil {
		c.contents[name] = readContents(filepath.Join(buildcache.ContentDir(c.dirs), name), layers)
	}
	_, known := c.contents[name][selector]
	c.contents[name][selector] = d
	c.mu.Unlock()
	if !known {
		appendContent(buildcache.ContentDir(c.dirs), name, layers, strconv.Quote(selector)+" "+d.String()+"\n")
	}
}

func stackName(layers []string) string {
	sum := sha256.Sum256([]byte(strings.Join(layers, " ")))
	return hex.EncodeToString(sum[:])
}

// readContents passes over what does not look as appendContent writes it: the last line of a killed writer, for one.
func readContents(path string, layers []string) map[string]digest.Digest {
	known := map[string]digest.Digest{}
	data, err := os.ReadFile(path)
	if err != nil || len(data) > maxContents {
		return known
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxContents)
	if !lines.Scan() || lines.Text() != strings.Join(layers, " ") {
		return known
	}
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 {
			continue
		}
		selector, err := strconv.Unquote(lines.Text()[:at])
		d := digest.Digest(lines.Text()[at+1:])
		if err == nil && d.Validate() == nil {
			known[selector] = d
		}
	}
	return known
}

// appendContent adds a line in one write, so that writers need no lock. A new file gets its first line before its name.
func appendContent(dir, name string, layers []string, line string) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Size() < maxContents-int64(len(line)) {
			f.WriteString(line)
			return
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	tmp, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return
	}
	_, err = tmp.WriteString(strings.Join(layers, " ") + "\n" + line)
	if tmp.Close() != nil || err != nil || os.Rename(tmp.Name(), path) != nil {
		os.Remove(tmp.Name())
	}
}
