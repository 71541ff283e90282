//go:build unix

package signer

import (
	"testing"

	measured "github.com/shuin/shuin/test/signer"
)

func TestMain(m *testing.M) { measured.Main(m) }
