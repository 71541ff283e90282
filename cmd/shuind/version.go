package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the shuind version information",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

func (a *app) printVersion() error {
	version, commit := buildVersion()
	if err := a.printf("Shuind - the server of Shuin: a signing service for container images.\n\nVersion:     %s\nGo version:  %s\nOS/Arch:     %s/%s",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil || commit == "" {
		return err
	}
	return a.printf("Git commit:  %s", commit)
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
