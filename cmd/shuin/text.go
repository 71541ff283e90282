package main

import (
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// oneLine folds line breaks, so that a cause or hint stays one line.
func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// printable replaces control characters: text that comes from registries,
// certificates and plugins must not steer a terminal. Line breaks stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// visible is printable on one line: line breaks and tabs are replaced too.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// newTable is a table writer with notation's widths.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 3, ' ', 0) }
