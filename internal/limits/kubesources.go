package limits

import "time"

// What is read of a cluster: policies, exceptions, pull secrets, Pods; and the
// reports that are written.
const (
	KubeObjectBytes = 2 << 20 // the values of one ConfigMap or Secret that are used: the API keeps 1 MiB

	KubeNamespacePolicyBytes    = 64 << 10               // a namespace's policy with its trust stores
	KubeNamespacePolicyBytesAll = 8 << 20                // those of all namespaces: what is made of them is some ten times as large
	KubeNamespacePolicyEvery    = 2 * time.Second        // between two readings of one namespace's policy
	KubeNamespacePolicyTime     = 10 * time.Second       // to make rules of one
	KubeExceptionPause          = 250 * time.Millisecond // between two readings of all PolicyExceptions

	KubeExceptions                 = 5000 // PolicyExceptions that count
	KubeExceptionsOfNamespace      = 200  // of one namespace but the gate's own
	KubeExceptionImagesOfNamespace = 1000 // images of those: a tenth of PolicyExceptions
	KubeExceptionImages            = 200  // images of one
	KubeExceptionBytes             = 64 << 10
	KubeExceptionMessageBytes      = 1024
	KubeExceptionStatusesAtOne     = 500 // statuses written in one turn

	KubePullSecrets         = 64               // pull secrets of one Pod
	KubePullSecretsAtOnce   = 4                // Secrets of one namespace being read at a time
	KubePullSecretBytes     = 1 << 20          // one of them: the API's own bound
	KubePullSecretEntries   = 1000             // registries in one
	KubePullSecretFields    = 100              // members of one registry's entry, of one configuration
	KubePullSecretLife      = 30 * time.Second // that one is remembered
	KubePullSecretGoneLife  = 5 * time.Second  // that it is remembered that there is none, or that it could not be read
	KubePullSecretTime      = 5 * time.Second  // to read one
	KubePullSecretsKept     = 4096             // Secrets and ServiceAccounts remembered
	KubePullSecretsKeptSize = 64 << 20         // bytes of them
	KubeAccessBytes         = 4 << 20          // credentials that one Pod brings, as they are counted
	KubeAccesses            = 16384            // sets of credentials remembered by their names
	KubeAccessesSize        = 128 << 20        // bytes of them

	KubePodPage     = 100     // Pods asked for at a time: each may be 1.5 MiB
	KubePods        = 500_000 // Pods of one sweep
	KubePodGroups   = 100_000 // groups of Pods that run the same
	KubePodExamples = 5       // Pods named of one group
	KubePodRestarts = 3       // beginnings of one listing, where its pages expire

	KubeReportResults      = 1000             // results of one namespace's report
	KubeReportBytes        = 900 << 10        // of them as JSON: the API keeps 1.5 MiB of an object
	KubeReportMessageBytes = 800              // of one result's message
	KubeReportAgain        = time.Hour        // after which a report that did not change is written again
	KubeReportPage         = 50               // old reports asked for at a time
	KubeReportNamespaces   = 20_000           // namespaces whose reports are remembered
	KubeDiscoveryEvery     = 10 * time.Minute // between two looks whether reports are served
)
