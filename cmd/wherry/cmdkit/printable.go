package cmdkit

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Printable is s with its control characters spelled out (\x1b), line ends and tabs too: names, labels and command
// lines come from images and containers, and a terminal obeys what it is sent.
func Printable(s string) string { return spelled(s, "") }

// printableLines is Printable for text whose lines and columns are ours.
func printableLines(text []byte) []byte {
	if !hasControl(text) {
		return text
	}
	return []byte(spelled(string(text), "\n\t"))
}

// hasControl looks for what spelled may have to change, wherever that is cheap to tell.
func hasControl(text []byte) bool {
	return bytes.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError
	})
}

func spelled(s, except string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1: // a lone byte: 0x9b is an escape to terminals that do not speak UTF-8
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strings.ContainsRune(except, r):
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r >= 0x80 && r < 0xa0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// escapeJSON spells out the control characters that JSON allows in a text, and that some terminals obey.
func escapeJSON(doc []byte) []byte {
	if !bytes.ContainsFunc(doc, func(r rune) bool { return r >= 0x7f && r < 0xa0 }) {
		return doc
	}
	var out bytes.Buffer
	for _, r := range string(doc) {
		if r >= 0x7f && r < 0xa0 {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}
