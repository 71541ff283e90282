package limits

import "time"

// The gate in a cluster, as cmd/shuind runs it.
const (
	KubeSweepEvery      = time.Hour        // between two sweeps, unless asked otherwise
	KubeSweepEveryLeast = time.Minute      // the least that can be asked for
	KubeSweepEveryMost  = 24 * time.Hour   // the most
	KubeWarmUp          = time.Minute      // that readiness waits for what runs to be decided, unless asked otherwise
	KubeWarmUpMost      = 10 * time.Minute // the most

	KubeStartTime  = time.Minute            // that a server waits for its policy to be in the cluster when it starts
	KubeStartPause = 500 * time.Millisecond // between two looks meanwhile

	KubePairPause = 2 * time.Second  // of quiet after policy or trust changed, where they are two objects: who changes both is not seen between
	KubePairMost  = 10 * time.Second // that they are waited for, whoever goes on changing things

	KubeSweepTime       = 30 * time.Minute // of one sweep
	KubeSweepPause      = 10 * time.Second // after something changed, until a sweep: what changes together is judged together
	KubeRevocationEvery = time.Minute      // between two looks at the revocation of what was decided, a tenth more or less
	KubeRevocationTime  = time.Minute      // of one such look
	KubeRevocationTold  = 20               // certificates and signatures that one names in the log
	KubeSweepParallel   = 16               // groups of Pods decided together
	KubeSweepDecision   = 30 * time.Second // of one of them
	KubeSweepEvents     = 3                // Pods of a group that an Event is written at
	KubeStatusEvery     = 10 * time.Second // between two looks at the status of PolicyExceptions

	KubeCredentialsTried = 5   // of a Pod's for one repository, one after another
	KubeRegistryClients  = 500 // credentials of Pods whose tokens are kept
)
