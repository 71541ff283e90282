//go:build shuinfaults

package main

import (
	"bytes"
	"time"
)

// fault does what an event of the tests asks for. No build but the tests' has
// it.
func fault(payload []byte) {
	switch {
	case bytes.Contains(payload, []byte("shuin-fault-panic")):
		panic("a fault of the tests")
	case bytes.Contains(payload, []byte("shuin-fault-hang")):
		time.Sleep(time.Hour)
	}
}
