// Package client_test is sdk-old with a newer SDK: its go.mod decides.
package client_test

import (
	"testing"

	client "github.com/shuin/shuin/test/clients/sdk-old"

	_ "github.com/aws/aws-sdk-go-v2/service/signer" // of the version that go.mod names
)

func TestSDK1_33_2(t *testing.T) { client.Run(t, "data-") }
