//go:build !unix

package plugin

import "os/exec"

// There are no process groups here: only the plugin itself is ended, and its
// output is closed after the grace time.
func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
