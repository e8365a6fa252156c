package cmdkit

import (
	"bytes"
	"strings"
	"testing"
)

// Called as docker, a message names the commands of docker, and the status of missing operands is Docker's.
func TestReportAsDocker(t *testing.T) {
	for _, c := range []struct {
		program string
		err     error
		want    string
		code    int
	}{
		{"docker", Usagef("no container (wherry ps -a lists them; wherry rm -f removes it)"), "(docker ps -a lists them; docker rm -f removes it)", 125},
		{"docker", Usagef("written by a newer version of wherry (upgrade wherry; wherry is old)"), "version of wherry (upgrade wherry; wherry is old)", 125},
		{"wherry", Usagef("(wherry ps -a lists them)"), "(wherry ps -a lists them)", 125},
		{"docker", Operandsf("which container?"), "which container?", 1},
		{"wherry", Operandsf("which container?"), "which container?", 125},
	} {
		var errs bytes.Buffer
		if code := Report(&Env{Program: c.program, Err: &errs}, c.err); code != c.code || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: exit %d, %q; want %d, %q", c.program, code, errs.String(), c.code, c.want)
		}
	}
}
