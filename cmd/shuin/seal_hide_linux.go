package main

import "syscall"

// hideEnvironment keeps other processes of the same user, and so the command,
// from reading what this one was started with and holds (/proc/PID/environ,
// /proc/PID/mem, a core dump): removing a variable does not take it from there.
// A command that is run is readable again as any other. Against root with
// CAP_SYS_PTRACE there is no help.
func hideEnvironment() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}
