package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// checkExperimental refuses experimental flags that were given under the name
// notation without NOTATION_EXPERIMENTAL=1, and warns of those allowed. Under
// the name shuin they are ordinary flags.
func (a *app) checkExperimental(cmd *cobra.Command, flags ...string) error {
	if !a.asNotation() {
		return nil
	}
	var used []string
	for _, f := range flags {
		if cmd.Flags().Changed(f) {
			used = append(used, "--"+f)
		}
	}
	if len(used) == 0 {
		return nil
	}
	if a.getenv(envExperimental) != "1" {
		return invalidf("flag(s) %s in %q is experimental and not enabled by default. To use, please set %s=1 environment variable",
			strings.Join(used, ","), cmd.CommandPath(), envExperimental)
	}
	a.warnf("This feature is experimental and may not be fully tested or completed and may be deprecated. Report any issues to \"https://github/notaryproject/notation\"")
	return nil
}

// hideExperimental hides flags from the help where they would be refused.
func (a *app) hideExperimental(cmd *cobra.Command, flags ...string) {
	if !a.asNotation() || a.getenv(envExperimental) == "1" {
		return
	}
	for _, f := range flags {
		if flag := cmd.Flags().Lookup(f); flag != nil {
			flag.Hidden = true
		}
	}
}

// experimental marks a flag's usage under the name notation.
func (a *app) experimental(usage string) string {
	if a.asNotation() {
		return "[Experimental] " + usage
	}
	return usage
}
