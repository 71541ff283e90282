package cluster

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// Main is the body of a TestMain whose tests share one cluster: it starts the
// cluster into shared, runs the tests and stops it. A cluster that does not
// start fails the tests: none is skipped.
// A test program that calls it can also be a webhook's process: WebhookProcess.
func Main(m *testing.M, shared **Cluster, o Options) (code int) {
	if file := os.Getenv(asWebhook); file != "" {
		return serveWebhook(file)
	}
	c, err := Start(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := c.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the cluster:", err)
			code = 1
		}
	}()
	*shared = c
	return m.Run()
}
