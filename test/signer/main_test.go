//go:build unix

package signer

import "testing"

func TestMain(m *testing.M) { Main(m) }
