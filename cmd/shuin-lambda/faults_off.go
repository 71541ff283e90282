//go:build !shuinfaults

package main

// fault does nothing: only the build of the tests (-tags shuinfaults) does.
func fault([]byte) {}
