package cluster

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel end the process when the test program ends,
// however that ends.
func endWithParent(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
