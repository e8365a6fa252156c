package values

import (
	"fmt"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// SecurityOpt takes KEY=VALUE of --security-opt, and Docker's older KEY:VALUE; seccomp takes that of seccomp.
func SecurityOpt(s *record.Security, text string, seccomp func(*record.Security, string) error) error {
	key, value, hasValue := strings.Cut(text, "=")
	if !hasValue {
		key, value, hasValue = strings.Cut(text, ":")
	}
	switch key {
	case "no-new-privileges":
		s.NoNewPrivileges = !hasValue || value == "true"
		if hasValue {
			return OneOf(value, "true", "false")
		}
		return nil
	case "seccomp":
		return seccomp(s, value)
	case "apparmor":
		s.AppArmor = value
	case "label":
		s.Label = append(s.Label, value)
	case "mask":
		s.Mask = append(s.Mask, strings.Split(value, ":")...)
	case "unmask":
		s.Unmask = append(s.Unmask, strings.Split(value, ":")...)
	case "systempaths":
		s.Unmask = append(s.Unmask, "ALL")
		return OneOf(value, "unconfined")
	case "proc-opts", "writable-cgroups":
		return fmt.Errorf("%s is not there yet", key)
	default:
		return fmt.Errorf("there is no such option (no-new-privileges, seccomp, apparmor, label, mask, unmask, systempaths are)")
	}
	if value == "" {
		return fmt.Errorf("%s needs a value", key)
	}
	return nil
}
