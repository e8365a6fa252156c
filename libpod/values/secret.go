package values

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

const (
	secretDir  = "/run/secrets"
	secretMode = 0o444
)

// Secret parses --secret NAME[,type=mount|env,target=TARGET,uid=UID,gid=GID,mode=MODE].
func Secret(s string) (record.Secret, error) {
	fields, err := csvFields(s)
	if err != nil || len(fields) == 0 {
		return record.Secret{}, fmt.Errorf("it looks like NAME,type=mount,target=FILE")
	}
	out := record.Secret{Type: "mount", Mode: secretMode}
	given := map[string]bool{}
	for i, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		if !hasValue && i == 0 {
			key, value = "source", key
		}
		given[key] = true
		if err := secretField(&out, key, value); err != nil {
			return out, err
		}
	}
	if err := SecretName(out.Name); err != nil {
		return out, err
	}
	return out, secretTarget(&out, given)
}

func secretField(out *record.Secret, key, value string) error {
	if value == "" {
		return fmt.Errorf("%s needs a value", key)
	}
	var err error
	var n uint64
	switch key {
	case "source", "src":
		out.Name = value
	case "target", "dst", "destination":
		out.Target = value
	case "type":
		out.Type = value
		return OneOf(value, "mount", "env")
	case "uid":
		n, err = strconv.ParseUint(value, 10, 31)
		out.UID = uint32(n)
	case "gid":
		n, err = strconv.ParseUint(value, 10, 31)
		out.GID = uint32(n)
	case "mode":
		if n, err = strconv.ParseUint(value, 8, 32); err == nil && n > 0o777 {
			err = strconv.ErrRange
		}
		out.Mode = fs.FileMode(n)
	default:
		return fmt.Errorf("a secret has no option %q (type, target, uid, gid and mode are)", key)
	}
	if err != nil {
		return fmt.Errorf("%s=%s is not a number that it takes", key, value)
	}
	return nil
}

// secretTarget settles where the value goes.
func secretTarget(out *record.Secret, given map[string]bool) error {
	if out.Type == "env" {
		if given["uid"] || given["gid"] || given["mode"] {
			return fmt.Errorf("uid, gid and mode are of type=mount: a variable has none")
		}
		out.Mode = 0
		if out.Target == "" {
			out.Target = out.Name
		}
		if strings.ContainsAny(out.Target, "=\x00") {
			return fmt.Errorf("target %q is no name of a variable", out.Target)
		}
		return nil
	}
	if out.Target == "" {
		out.Target = out.Name
	}
	if !path.IsAbs(out.Target) {
		out.Target = path.Join(secretDir, path.Join("/", out.Target))
	}
	out.Target = path.Clean(out.Target)
	if out.Target == "/" || out.Target == secretDir || strings.Contains(out.Target, "\x00") {
		return fmt.Errorf("target %q is no name of a file", out.Target)
	}
	return nil
}

// SecretName checks the name of a secret.
func SecretName(s string) error {
	if len(s) > 253 {
		return fmt.Errorf("a secret's name has 1 to 253 characters")
	}
	if err := Name(s); err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	return nil
}
