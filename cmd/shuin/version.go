package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/buildinfo"
)

func newVersionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the " + a.name + " version information",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

func (a *app) printVersion() error {
	title := "Shuin - a tool to sign and verify container images."
	if a.asNotation() {
		title = "Notation - a tool to sign and verify artifacts."
	}
	version, commit := buildinfo.Version()
	if _, err := fmt.Fprintf(a.stdout, "%s\n\nVersion:     %s\nGo version:  %s\nOS/Arch:     %s/%s\n",
		title, version, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	if commit != "" {
		fmt.Fprintf(a.stdout, "Git commit:  %s\n", commit)
	}
	return nil
}

// userAgent is what registries and other servers are told.
func (a *app) userAgent() string {
	version, _ := buildinfo.Version()
	return "shuin/" + version
}

// signingAgent is what is written into signatures. Under the name notation it
// begins as notation's does: scripts look for that.
func (a *app) signingAgent() string {
	if a.asNotation() {
		return "notation-go/compatible " + a.userAgent()
	}
	return a.userAgent()
}
