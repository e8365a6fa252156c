// Package lazyjson encodes large, mostly empty structs. encoding/json first looks at every field of every type that a
// value could hold; for the OCI runtime's configuration, which has parts for other systems, that takes longer than the
// encoding. This package looks at what is there.
package lazyjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// Marshal returns what json.Marshal returns for structs, maps with string keys, slices, strings, numbers and booleans
// whose types have no method of their own for it. Types that have one, byte slices and floats are left to encoding/json.
func Marshal(v any) ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 8<<10)}
	if err := e.value(reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return e.buf, nil
}

type encoder struct{ buf []byte }

func (e *encoder) text(s string) { e.buf = append(e.buf, s...) }

func (e *encoder) value(v reflect.Value) error {
	if !v.IsValid() {
		e.text("null")
		return nil
	}
	if foreign(v) {
		return e.standard(v)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return e.value(v.Elem())
	case reflect.Struct:
		return e.object(v)
	case reflect.Map:
		return e.dict(v)
	case reflect.Slice, reflect.Array:
		return e.list(v)
	case reflect.String:
		return e.str(v.String())
	case reflect.Bool:
		e.buf = strconv.AppendBool(e.buf, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.buf = strconv.AppendInt(e.buf, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.buf = strconv.AppendUint(e.buf, v.Uint(), 10)
	default:
		return e.standard(v)
	}
	return nil
}

// foreign tells values whose encoding is not ours to do.
func foreign(v reflect.Value) bool {
	t := v.Type()
	if t.NumMethod() > 0 && v.Kind() != reflect.Interface {
		if _, own := v.Interface().(json.Marshaler); own {
			return true
		}
		if _, own := v.Interface().(interface{ MarshalText() ([]byte, error) }); own {
			return true
		}
	}
	return v.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func (e *encoder) standard(v reflect.Value) error {
	data, err := json.Marshal(v.Interface())
	e.buf = append(e.buf, data...)
	return err
}

// str writes a string; the usual one needs no escape.
func (e *encoder) str(s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return e.standard(reflect.ValueOf(s))
		}
	}
	e.text(`"`)
	e.text(s)
	e.text(`"`)
	return nil
}

func (e *encoder) list(v reflect.Value) error {
	if v.Kind() == reflect.Slice && v.IsNil() {
		e.text("null")
		return nil
	}
	e.text("[")
	for i := range v.Len() {
		if i > 0 {
			e.text(",")
		}
		if err := e.value(v.Index(i)); err != nil {
			return err
		}
	}
	e.text("]")
	return nil
}

func (e *encoder) dict(v reflect.Value) error {
	if v.IsNil() {
		e.text("null")
		return nil
	}
	if v.Type().Key().Kind() != reflect.String {
		return e.standard(v)
	}
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	e.text("{")
	for i, key := range keys {
		if i > 0 {
			e.text(",")
		}
		if err := e.str(key.String()); err != nil {
			return err
		}
		e.text(":")
		if err := e.value(v.MapIndex(key)); err != nil {
			return err
		}
	}
	e.text("}")
	return nil
}

func (e *encoder) object(v reflect.Value) error {
	e.text("{")
	first := true
	if err := e.fields(v, &first); err != nil {
		return err
	}
	e.text("}")
	return nil
}

// fields writes the fields of a struct; those of an embedded one without a name of its own are written in its place.
func (e *encoder) fields(v reflect.Value, first *bool) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := v.Field(i)
		switch {
		case !f.IsExported() && !f.Anonymous || name == "-" && options == "":
			continue
		case f.Anonymous && name == "" && field.Kind() == reflect.Struct:
			if err := e.fields(field, first); err != nil {
				return err
			}
			continue
		case f.Anonymous && name == "":
			return fmt.Errorf("encode %s: an embedded %s is not supported", t, field.Kind())
		case omitted(field, options):
			continue
		}
		if name == "" {
			name = f.Name
		}
		if !*first {
			e.text(",")
		}
		*first = false
		e.text(`"` + name + `":`)
		if err := e.value(field); err != nil {
			return err
		}
	}
	return nil
}

// omitted tells whether the field's options leave it out, by encoding/json's rules.
func omitted(v reflect.Value, options string) bool {
	if strings.Contains(options, "omitzero") && v.IsZero() {
		return true
	}
	if !strings.Contains(options, "omitempty") {
		return false
	}
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
