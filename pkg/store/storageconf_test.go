package store

import (
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
)

var confSeeds = []string{
	"", "[storage.options]\nadditionalimagestores = [ \"/a\", '/b', ]\n",
	"[storage]\ndriver = \"overlay\"\noptions.additionalimagestores = [\"/x\"]\n",
	"# additionalimagestores = [\"/no\"]\n[storage.options] # c\nadditionalimagestores = [\n# comment \"]\"\n  \"/a b\", # more\n  \"/c\\u00e9\"\n]\nsize = \"\"\n",
	"[storage.options.overlay]\nadditionalimagestores = [\"/wrong/table\"]\n", "[storage.options]\nadditionalimagestores = \"/x\"\n",
	"[storage.options]\nadditionalimagestores = [\"/x\"", "[storage.options]\nadditionalimagestores = []\n",
	"[ storage . \"options\" ]\n\"additionalimagestores\" = [\"/q\"]\r\n", "storage.options.additionalimagestores = ['/dotted']\n",
}

type confFile struct {
	Storage struct {
		Options struct {
			Stores []string `toml:"additionalimagestores"`
		} `toml:"options"`
	} `toml:"storage"`
}

func TestParseStorageConfAsTOML(t *testing.T) {
	for _, text := range confSeeds {
		got, err := parseStorageConf(text)
		var want confFile
		_, wantErr := toml.Decode(text, &want)
		if (err == nil) != (wantErr == nil) || err == nil && !slices.Equal(got, want.Storage.Options.Stores) {
			t.Errorf("%q: %q %v, want %q %v", text, got, err, want.Storage.Options.Stores, wantErr)
		}
	}
}

func FuzzParseStorageConf(f *testing.F) {
	for _, s := range confSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if list, err := parseStorageConf(text); err != nil && list != nil {
			t.Error("both a list and an error")
		}
	})
}
