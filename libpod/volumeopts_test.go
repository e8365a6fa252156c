package libpod

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseVolumeOpts(t *testing.T) {
	for _, c := range []struct {
		opts map[string]string
		want string
	}{
		{nil, " [] 0 -1:-1"},
		{map[string]string{"type": "tmpfs", "device": "x", "o": "size=1m,uid=3,noexec,nosuid"}, fmt.Sprintf("tmpfs tmpfs [size=1m uid=3] %d 3:-1", unix.MS_NOEXEC|unix.MS_NOSUID)},
		{map[string]string{"type": "none", "device": "/d", "o": "bind,ro"}, fmt.Sprintf("bind /d [] %d -1:-1", unix.MS_BIND|unix.MS_RDONLY)},
		{map[string]string{"device": "/d", "o": "rbind,ro,rw"}, fmt.Sprintf("bind /d [] %d -1:-1", unix.MS_BIND|unix.MS_REC)},
		{map[string]string{"type": "none", "device": "/d"}, fmt.Sprintf("bind /d [] %d -1:-1", unix.MS_BIND)},
		{map[string]string{"type": "nfs", "device": ":/e", "o": "addr=1.2.3.4"}, "nfs :/e [addr=1.2.3.4] 0 -1:-1"},
		{map[string]string{"o": "uid=1,gid=2"}, " [uid=1 gid=2] 0 1:2"},
		{map[string]string{"o": "noquota"}, " [] 0 -1:-1"},
		{map[string]string{"o": "bind"}, "error: absolute path"},
		{map[string]string{"type": "none", "device": "d"}, "error: absolute path"},
		{map[string]string{"type": "ext4", "device": "/d", "o": "bind"}, "error: do not go together"},
		{map[string]string{"type": "ext4"}, "error: needs --opt device"},
		{map[string]string{"device": "/d"}, "error: needs --opt type"},
		{map[string]string{"o": "ro"}, "error: needs --opt type"},
		{map[string]string{"o": "compress"}, "error: needs --opt type"},
		{map[string]string{"size": "1g"}, "error: quota"},
		{map[string]string{"o": "size=1g"}, "error: quota"},
		{map[string]string{"o": "uid=x"}, "error: not an id"},
		{map[string]string{"foo": "x"}, "error: no option"},
	} {
		v, err := parseVolumeOpts(c.opts)
		got := fmt.Sprintf("%s %s %v %d %d:%d", v.fstype, v.device, v.data, v.flags, v.uid, v.gid)
		got = strings.Replace(got, "  [", " [", 1)
		if text, wanted := strings.CutPrefix(c.want, "error: "); wanted {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v: %s, %v; want %s", c.opts, got, err, c.want)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%v: %q, %v; want %q", c.opts, got, err, c.want)
		}
	}
}

func TestVolumeRights(t *testing.T) {
	for fstype, allowed := range map[string]bool{"": true, "bind": true, "tmpfs": true, "overlay": true, "ext4": false, "nfs": false, "proc": false} {
		v := volumeMount{fstype: fstype}
		if err := v.checkRights(true); (err == nil) != allowed {
			t.Errorf("without root, %s: %v", fstype, err)
		}
		if err := v.checkRights(false); err != nil {
			t.Errorf("as root, %s: %v", fstype, err)
		}
	}
}

// What is accepted is a bind of an absolute path, or names a device, or is a directory of ours.
func FuzzVolumeOpts(f *testing.F) {
	f.Add("tmpfs", "tmpfs", "size=1m,uid=3")
	f.Add("none", "/d", "bind,ro")
	f.Fuzz(func(t *testing.T, fstype, device, o string) {
		v, err := parseVolumeOpts(map[string]string{"type": fstype, "device": device, "o": o})
		if err != nil {
			return
		}
		switch {
		case v.fstype == "bind" && !strings.HasPrefix(v.device, "/"), v.fstype != "" && v.device == "", v.fstype == "" && v.flags != 0:
			t.Fatalf("%q %q %q gave %+v", fstype, device, o, v)
		}
	})
}
