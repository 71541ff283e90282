package limits

import "time"

// The gate in a cluster, as cmd/shuind runs it.
const (
	KubeSweepEvery      = time.Hour        // between two sweeps, unless asked otherwise
	KubeSweepEveryLeast = time.Minute      // the least that can be asked for
	KubeSweepEveryMost  = 24 * time.Hour   // the most
	KubeWarmUp          = time.Minute      // that readiness waits for what runs to be decided, unless asked otherwise
	KubeWarmUpMost      = 10 * time.Minute // the most
)
