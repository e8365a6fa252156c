package server

import (
	"path/filepath"
	"testing"
)

func FuzzParseJob(f *testing.F) {
	f.Add([]byte(`{"ID":"a","Dir":"/d","RunDir":"/r","StartArgs":["crun"],"Lifecycle":{"Restart":"always"},"Health":{"Test":["NONE"]}}`))
	f.Add([]byte(`{"ID":"a","Dir":"d"}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, data []byte) {
		job, err := parseJob(data)
		if err == nil && (job.ID == "" || !filepath.IsAbs(job.Dir) || !filepath.IsAbs(job.RunDir) || len(job.StartArgs) == 0) {
			t.Errorf("an incomplete job is accepted: %+v", job)
		}
	})
}
