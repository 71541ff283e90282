package client

import "testing"

// TestSDK1_24_6 is the version that AWS's notation plugin is built with.
func TestSDK1_24_6(t *testing.T) { Run(t, "verification.") }
