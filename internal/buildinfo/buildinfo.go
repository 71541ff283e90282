// Package buildinfo says which build of Shuin runs: what the Go toolchain
// recorded in the binary. It reads nothing else.
package buildinfo

import "runtime/debug"

// Version is the module's version ("v0.0.0-devel" where the build has none,
// "unknown" where nothing was recorded) and the commit; empty: not recorded.
func Version() (version, commit string) {
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
