package state

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzReadAttachment(f *testing.F) {
	f.Add([]byte(`{"Networks":[{"Name":"a","Addresses":["10.88.0.2/16"]}],"Ports":[{"HostPort":80,"ContainerPort":80,"Protocol":"tcp"}]}`))
	f.Add([]byte(`null`))
	path := filepath.Join(f.TempDir(), "attachment.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		att := &Attachment{}
		if Read(path, att) == nil {
			att.On("a")
		}
	})
}
