package limits

import "time"

// Serving certificates of a webhook, and what the gate writes to an API server.
const (
	ServingCertBytes = 64 << 10 // one certificate or key as it is kept

	KubeCallTime     = 15 * time.Second // one request to the API server, unless it watches
	KubeServeEvery   = 30 * time.Second // between two looks at the serving certificate where nothing was told
	KubeServeWaiting = 3 * time.Second  // likewise, while a webhook configuration is not there
	KubeEventBytes   = 1024             // of an Event's message: the API's limit
	KubeEventMemory  = 4096             // Events remembered, so that the same one counts up
	KubeQPS          = 50               // requests a second to the API server
	KubeBurst        = 100              // of them at once

	KubeLeaseLife  = 30 * time.Second // after which another may lead, where the leader was not heard of
	KubeLeaseRenew = 20 * time.Second // in which a leader has to renew
	KubeLeaseTry   = 4 * time.Second  // between two tries
)
