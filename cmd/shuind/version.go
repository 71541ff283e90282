package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/buildinfo"
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
	version, commit := buildinfo.Version()
	if err := a.printf("Shuind - the server of Shuin: a signing service for container images.\n\nVersion:     %s\nGo version:  %s\nOS/Arch:     %s/%s",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil || commit == "" {
		return err
	}
	return a.printf("Git commit:  %s", commit)
}
