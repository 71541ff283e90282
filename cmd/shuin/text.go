package main

import (
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// oneLine folds line breaks, so that a cause or hint stays one line.
func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// printable replaces what is not seen but works: control characters, and those
// that turn the direction of text. Text that comes from registries, certificates
// and plugins must not steer a terminal. Line breaks and tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// visible is printable on one line: line breaks and tabs are replaced too.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// lineError is an error whose text is one line, whatever it quotes.
type lineError struct{ err error }

func (e lineError) Error() string { return oneLine(e.err.Error()) }
func (e lineError) Unwrap() error { return e.err }

// printableWriter makes each text written printable.
type printableWriter struct{ w io.Writer }

func (p *printableWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.w, printable(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// newTable is a table writer with notation's widths.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 3, ' ', 0) }
