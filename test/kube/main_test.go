//go:build e2e

package kube

import (
	"os"
	"testing"

	"github.com/shuin/shuin/test/kube/cluster"
)

// shared is the cluster of all tests; each works in namespaces of its own.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(cluster.Main(m, &shared, cluster.Options{})) }
