package main

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks a yes-or-no question on stdout and reads one line of stdin.
// yes answers it beforehand. Declining and end of input are both no error.
func (a *app) confirm(question string, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	fmt.Fprint(a.stdout, question, " [y/N] ")
	lines := bufio.NewScanner(a.stdin)
	if !lines.Scan() {
		return false, lines.Err()
	}
	switch strings.ToLower(lines.Text()) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(a.stdout, "Operation cancelled.")
	return false, nil
}
