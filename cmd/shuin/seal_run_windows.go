package main

import (
	"fmt"
	"os"
)

// relayed is what has to be waited out while a command runs: Ctrl-C and
// Ctrl-Break, which the console sends to the command itself.
func relayed() []os.Signal { return []os.Signal{os.Interrupt} }

func sentByTerminal(os.Signal) bool { return true }

func settleSignals() {}

func signalNumber(os.Signal) int { return 2 }

// endOf is the exit status of a command that ended, and the same in words.
func endOf(state *os.ProcessState) (status int, words string) {
	if state == nil {
		return exitCannotRun, "did not end as processes do"
	}
	return state.ExitCode(), fmt.Sprintf("exited with status %d", state.ExitCode())
}
