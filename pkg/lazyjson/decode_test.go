package lazyjson

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestDecodesAsEncodingJSON: what encoding/json makes of a document is what Unmarshal makes of it.
func TestDecodesAsEncodingJSON(t *testing.T) {
	for _, v := range values() {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		sameAs(t, data, func() any { return new(mixed) })
		sameAs(t, data, func() any { return new(specs.Spec) })
	}
	for _, text := range []string{
		`{}`, `null`, ` { "name" : "x" , "B" : [ ] , "unknown": {"a":[1,"]}",{}]}, "u": 7 }`, `{"a":1,"ptr":null,"map":{"k":null,"l":{"a":2}}}`,
		`{"B":["a\u00e9\n","\ud800"],"Any":{"x":[1.5,true,null]},"Float":1e3,"Bytes":"aGk="}`, `{"Array":[true,false]}`, `{"name":"a","name":"b"}`,
		`{"u":256}`, `{"u":-1}`, `{"u":"1"}`, `{"a":1.5}`, `{"name":5}`, `{"B":{}}`, `{"ptr":[]}`, `{"When":"no"}`, `{`, `[]`, `"x"`, `5`, ``, `{"a":1}x`, `{"B":[1]}`,
	} {
		sameAs(t, []byte(text), func() any { return new(mixed) })
	}
	if Unmarshal([]byte("{}"), mixed{}) == nil {
		t.Error("took a value for a pointer")
	}
}

func sameAs(t *testing.T, data []byte, fresh func() any) {
	t.Helper()
	want, got := fresh(), fresh()
	wantErr, gotErr := json.Unmarshal(data, want), Unmarshal(data, got)
	if (wantErr == nil) != (gotErr == nil) {
		t.Errorf("%s: error %v, want %v", data, gotErr, wantErr)
	} else if wantErr == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", data, got, want)
	}
}

// FuzzDecode: no document breaks it, and what was written is read back.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"name":"x","B":["a"],"u":7}`, `{"ptr":{"a":1},"map":{"k":{"B":[]}}}`, `{"Any":[1,{"a":null}],"Dur":5}`, `{"When":3}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Unmarshal(data, new(mixed))
		want := new(mixed)
		if json.Unmarshal(data, want) != nil {
			return
		}
		written, err := Marshal(want)
		if err != nil {
			return // a date that has no text
		}
		sameAs(t, written, func() any { return new(mixed) })
	})
}
