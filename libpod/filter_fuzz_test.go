package libpod

import (
	"testing"
	"time"
)

func FuzzParseWhen(f *testing.F) {
	for _, text := range []string{"24h", "2026-01-31T15:04:05Z", "1700000000", "-1h", "9223372036854775807", "1e3", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		when, err := parseWhen("until", text)
		if err == nil && text == "" {
			t.Error("nothing is a time")
		}
		if err == nil {
			_ = when.Before(time.Now())
			_ = when.String()
		}
	})
}
