package main

import "strings"

// oneLine folds line breaks, so that a cause or hint stays one line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n", " ")), " ")
}
