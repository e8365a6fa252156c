package spec

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// ParseDeviceRule reads a rule of --device-cgroup-rule: TYPE MAJOR:MINOR ACCESS, as "c 42:* rmw".
func ParseDeviceRule(text string) (specs.LinuxDeviceCgroup, error) {
	rule := specs.LinuxDeviceCgroup{Allow: true}
	wrong := errdefs.New(errdefs.ErrInvalid, "device rule %q: it looks like \"c 42:* rwm\"", text)
	words := strings.Split(text, " ")
	if len(words) != 3 {
		return rule, wrong
	}
	rule.Type, rule.Access = words[0], words[2]
	major, minor, ok := strings.Cut(words[1], ":")
	if !ok || rule.Type != "a" && rule.Type != "b" && rule.Type != "c" {
		return rule, wrong
	}
	if rule.Access == "" || len(rule.Access) > 3 || strings.Trim(rule.Access, "rwm") != "" {
		return rule, wrong
	}
	var okMajor, okMinor bool
	rule.Major, okMajor = deviceNumber(major)
	rule.Minor, okMinor = deviceNumber(minor)
	if !okMajor || !okMinor {
		return rule, wrong
	}
	return rule, nil
}

// deviceNumber is nil for *, any number.
func deviceNumber(text string) (*int64, bool) {
	if text == "*" {
		return nil, true
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || text[0] == '+' {
		return nil, false
	}
	number := int64(n)
	return &number, true
}

// deviceRules are those of --device-cgroup-rule. A container cannot have rules of its own without root: there what the
// host's user may do is what it may do.
func deviceRules(in Input) ([]specs.LinuxDeviceCgroup, error) {
	texts := in.Config.Security.DeviceRules
	if len(texts) == 0 {
		return nil, nil
	}
	why := ""
	switch {
	case in.Host.Rootless:
		why = "needs root: a user's container may use the devices that the user may (use --device for a node of it)"
	case cgroupsOff(in):
		why = "needs a control group: " + in.Cgroup.Why
	case deviceRulesFail(in):
		why = "needs CAP_SYS_RESOURCE, which this root does not have (leave it out)"
	}
	if why != "" {
		return nil, errdefs.New(errdefs.ErrUnsupported, "--device-cgroup-rule %s", why)
	}
	rules := make([]specs.LinuxDeviceCgroup, len(texts))
	for i, text := range texts {
		var err error
		if rules[i], err = ParseDeviceRule(text); err != nil {
			return nil, err
		}
	}
	return rules, nil
}
