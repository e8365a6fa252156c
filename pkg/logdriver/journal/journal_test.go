package journal

import (
	"testing"
	"time"
)

func TestEntry(t *testing.T) {
	e, err := Decode([]byte(`{"MESSAGE":[97,0,255],"TWICE":["first","second"],"EMPTY":null,"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1767323045678900","P":"6"}`))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{"MESSAGE": "a\x00\xff", "TWICE": "first", "EMPTY": "", "NONE": "", "P": "6"} {
		if got := string(e.Value(field)); got != want {
			t.Errorf("%s: %q", field, got)
		}
	}
	if e.Cursor() != "s=1" || !e.Time().Equal(time.UnixMicro(1767323045678900)) {
		t.Errorf("%s %v", e.Cursor(), e.Time())
	}
	if e.Value("NONE") != nil || e.Value("EMPTY") != nil {
		t.Error("what is not there has a value")
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"MESSAGE":[97,0,255],"__CURSOR":"x"}`))
	f.Add([]byte(`{"MESSAGE":[[1],2]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := Decode(line); err == nil {
			e.Value("MESSAGE")
			e.Cursor()
			e.Time()
		}
	})
}
