package values

import (
	"fmt"
	"strings"
	"testing"
)

func TestLimitValues(t *testing.T) {
	text := func(v any, err error) string {
		if err != nil {
			return "error: " + err.Error()
		}
		if p, ok := v.(*int64); ok {
			if p == nil {
				return "none"
			}
			return fmt.Sprint(*p)
		}
		return fmt.Sprint(v)
	}
	wrap := func(err error) (any, error) { return "ok", err }
	for name, c := range map[string]struct{ got, want string }{
		"weight":                {text(Weight("300")), "300"},
		"weight default":        {text(Weight("0")), "0"},
		"weight low":            {text(Weight("9")), "error: a number from 10"},
		"weight high":           {text(Weight("1001")), "error: a number from 10"},
		"device weight":         {text(DeviceWeight("/dev/sda:20")), "{/dev/sda 20}"},
		"bps":                   {text(DeviceBps("/dev/sda:1mb")), "{/dev/sda 1048576}"},
		"bps of a path with :":  {text(DeviceBps("/dev/disk/by-path/a:0:1k")), "{/dev/disk/by-path/a:0 1024}"},
		"bps none":              {text(DeviceBps("/dev/sda:0")), "{/dev/sda 0}"},
		"bps without":           {text(DeviceBps("/dev/sda")), "error: it looks like"},
		"bps elsewhere":         {text(DeviceBps("sda:1")), "error: it looks like"},
		"iops":                  {text(DeviceIOps("/dev/sda:7")), "{/dev/sda 7}"},
		"iops with unit":        {text(DeviceIOps("/dev/sda:7k")), "error: a whole number"},
		"swappiness":            {text(Swappiness("60")), "60"},
		"swappiness default":    {text(Swappiness("-1")), "none"},
		"swappiness high":       {text(Swappiness("101")), "error: a number from 0"},
		"microseconds":          {text(Microseconds("1000")), "1000"},
		"microseconds negative": {text(Microseconds("-5")), "error: a number of microseconds"},
		"quota none":            {text(Quota("-1")), "-1"},
		"quota":                 {text(Quota("5000")), "5000"},
		"cgroupns":              {text(wrap(CgroupNS("container:web"))), "ok"},
		"cgroupns path":         {text(wrap(CgroupNS("ns:/proc/1/ns/cgroup"))), "ok"},
		"cgroupns short path":   {text(wrap(CgroupNS("ns:x"))), "error: it is host"},
		"cgroupns of none":      {text(wrap(CgroupNS("container:"))), "error: it is host"},
		"cgroupns extra":        {text(wrap(CgroupNS("private:x"))), "error: it is host"},
		"cgroups":               {text(wrap(Cgroups("no-conmon"))), "ok"},
		"manager":               {text(wrap(CgroupManager("openrc"))), "error: it is one of"},
		"device rule":           {text(wrap(DeviceRule("a *:* rwm"))), "ok"},
		"all gpus":              {text(GPUs("all")), "[nvidia.com/gpu=all]"},
		"two gpus":              {text(GPUs("2")), "[nvidia.com/gpu=0 nvidia.com/gpu=1]"},
		"gpus by number":        {text(GPUs(`"device=0,GPU-3"`)), "[nvidia.com/gpu=0 nvidia.com/gpu=GPU-3]"},
		"gpus in Docker's way":  {text(GPUs(`device=1,"capabilities=gpu,utility"`)), "[nvidia.com/gpu=1]"},
		"gpus counted":          {text(GPUs("count=1,capabilities=gpu")), "[nvidia.com/gpu=0]"},
		"gpus of another":       {text(GPUs("driver=amd")), `error: "driver=amd" is not known`},
		"no gpu":                {text(GPUs("driver=nvidia")), "error: it names no device"},
		"cdi":                   {text(CDI("vendor.com/class=name"), nil), "true"},
		"no cdi":                {text(CDI("/dev/a=b"), nil), "false"},
		"no cdi either":         {text(CDI("/dev/sda:/dev/x"), nil), "false"},
	} {
		if !strings.HasPrefix(c.got, c.want) {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
}

func FuzzLimitValues(f *testing.F) {
	f.Add("/dev/sda:1mb")
	f.Add(`"device=0,1",capabilities=gpu`)
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := DeviceBps(s); err == nil && !strings.HasPrefix(d.Path, "/dev/") {
			t.Errorf("%q: %+v", s, d)
		}
		if names, err := GPUs(s); err == nil && len(names) == 0 && s != "0" && !strings.Contains(s, "0") {
			t.Errorf("%q: no name and no error", s)
		}
		DeviceWeight(s)
		DeviceIOps(s)
	})
}
