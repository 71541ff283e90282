//go:build !linux

package main

func hideEnvironment() {}
