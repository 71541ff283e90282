package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
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
	version, commit := buildVersion()
	if _, err := fmt.Fprintf(a.stdout, "%s\n\nVersion:     %s\nGo version:  %s\nOS/Arch:     %s/%s\n",
		title, version, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	if commit != "" {
		fmt.Fprintf(a.stdout, "Git commit:  %s\n", commit)
	}
	return nil
}

// buildVersion is the version and commit the Go toolchain recorded.
func buildVersion() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	version = info.Main.Version
	if version == "" || version == "(devel)" {
		version = "v0.0.0-devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return version, commit
}

// userAgent is what registries and other servers are told.
func (a *app) userAgent() string {
	version, _ := buildVersion()
	return "shuin/" + version
}
