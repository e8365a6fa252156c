package lazyjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Unmarshal is json.Unmarshal for what Marshal writes: it looks at the fields that occur and not at all that a type
// could hold. Names of fields are matched by their exact spelling. What encoding/json refuses is refused, by it; after an
// error the value holds a part.
func Unmarshal(data []byte, v any) error {
	into := reflect.ValueOf(v)
	if into.Kind() != reflect.Pointer || into.IsNil() {
		return fmt.Errorf("decode into %T: not a pointer", v)
	}
	if !json.Valid(data) {
		return json.Unmarshal(data, v)
	}
	d := decoder{data: data}
	d.space()
	return d.value(into.Elem())
}

// decoder reads JSON that is known to be valid.
type decoder struct {
	data []byte
	at   int
}

func (d *decoder) space() {
	for d.at < len(d.data) && strings.IndexByte(" \t\r\n", d.data[d.at]) >= 0 {
		d.at++
	}
}

// more goes on to the next member of an object or list, and returns false after the last.
func (d *decoder) more(end byte) bool {
	d.at++ // the opening bracket, or the comma
	d.space()
	if d.data[d.at] == end {
		d.at++
		return false
	}
	return true
}

// last skips what follows a member, and says whether the end was behind it.
func (d *decoder) last(end byte) bool {
	d.space()
	if d.data[d.at] != end {
		return false
	}
	d.at++
	return true
}

func (d *decoder) value(v reflect.Value) error {
	if d.data[d.at] == 'n' { // null leaves everything as it is but what can be nil
		d.at += len("null")
		switch v.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			v.SetZero()
		}
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem())
	}
	switch c := d.data[d.at]; {
	case foreignType(v):
		return json.Unmarshal(d.raw(), v.Addr().Interface())
	case c == '{' && v.Kind() == reflect.Struct:
		return d.object(v)
	case c == '{' && v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return d.dict(v)
	case c == '[' && v.Kind() == reflect.Slice:
		return d.list(v)
	case c == '"' && v.Kind() == reflect.String:
		s, err := d.str()
		v.SetString(s)
		return err
	}
	return d.scalar(v)
}

// foreignType tells types whose decoding is not ours to do.
func foreignType(v reflect.Value) bool {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return true
		}
	case t.Name() == "" || t.PkgPath() == "": // no methods
		return false
	}
	switch v.Addr().Interface().(type) {
	case json.Unmarshaler, interface{ UnmarshalText([]byte) error }:
		return true
	}
	return false
}

// scalar decodes whole numbers, and leaves the rest (and every mistake) to encoding/json.
func (d *decoder) scalar(v reflect.Value) error {
	raw := d.raw()
	switch v.Kind() {
	case reflect.Bool:
		if len(raw) > 0 && (raw[0] == 't' || raw[0] == 'f') {
			v.SetBool(raw[0] == 't')
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, err := strconv.ParseUint(string(raw), 10, 64); err == nil && !v.OverflowUint(n) {
			v.SetUint(n)
			return nil
		}
	}
	return json.Unmarshal(raw, v.Addr().Interface())
}

// raw takes the next value as it stands.
func (d *decoder) raw() []byte {
	start, depth := d.at, 0
	for d.at < len(d.data) {
		switch c := d.data[d.at]; c {
		case '"':
			d.skipString()
			if depth == 0 {
				return d.data[start:d.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return d.data[start:d.at]
			}
			if depth--; depth == 0 {
				d.at++
				return d.data[start:d.at]
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return d.data[start:d.at]
			}
		}
		d.at++
	}
	return d.data[start:]
}

func (d *decoder) skipString() {
	for d.at++; d.data[d.at] != '"'; d.at++ {
		if d.data[d.at] == '\\' {
			d.at++
		}
	}
	d.at++
}

func (d *decoder) str() (s string, err error) {
	start := d.at
	d.skipString()
	raw := d.data[start:d.at]
	for _, c := range raw {
		if c == '\\' || c >= 0x80 { // an escape, or perhaps no UTF-8
			err = json.Unmarshal(raw, &s)
			return s, err
		}
	}
	return string(raw[1 : len(raw)-1]), nil
}

// name takes a member's name and the colon.
func (d *decoder) name() (string, error) {
	s, err := d.str()
	d.space()
	d.at++
	d.space()
	return s, err
}

func (d *decoder) list(v reflect.Value) error {
	v.SetLen(0)
	if v.IsNil() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	for more := d.more(']'); more; more = d.more(']') {
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		element := v.Index(v.Len() - 1)
		element.SetZero()
		if err := d.value(element); err != nil {
			return err
		}
		if d.last(']') {
			return nil
		}
	}
	return nil
}

func (d *decoder) dict(v reflect.Value) error {
	t := v.Type()
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	for more := d.more('}'); more; more = d.more('}') {
		name, err := d.name()
		if err != nil {
			return err
		}
		element := reflect.New(t.Elem()).Elem()
		if err := d.value(element); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), element)
		if d.last('}') {
			return nil
		}
	}
	return nil
}

func (d *decoder) object(v reflect.Value) error {
	next := 0 // members usually come in the order of the fields
	for more := d.more('}'); more; more = d.more('}') {
		name, err := d.name()
		if err != nil {
			return err
		}
		field := d.field(v, name, &next)
		if !field.IsValid() {
			d.raw()
		} else if err := d.value(field); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if d.last('}') {
			return nil
		}
	}
	return nil
}

// field finds the field of that name, from the one after the last found on.
func (d *decoder) field(v reflect.Value, name string, next *int) reflect.Value {
	t := v.Type()
	n := t.NumField()
	for i := range n {
		i = (*next + i) % n
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct:
			none := 0
			if found := d.field(v.Field(i), name, &none); found.IsValid() {
				return found
			}
		case !f.IsExported() || tag == "-":
		case tag == name || tag == "" && f.Name == name:
			*next = i + 1
			return v.Field(i)
		}
	}
	return reflect.Value{}
}
