package main

import (
	"errors"
	"os"
)

// openDescriptor is stdin: Windows hands on handles, not numbered descriptors.
// An empty file stands in its place afterwards.
func openDescriptor(n int) (*os.File, error) {
	if n != 0 {
		return nil, errors.New("on Windows only 0, stdin, is handed to a program")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	in := os.Stdin
	os.Stdin = null
	return in, nil
}
