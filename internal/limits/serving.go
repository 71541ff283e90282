package limits

import "time"

// Serving certificates of a webhook, and what the gate writes to an API server.
const (
	ServingCertBytes = 64 << 10 // one certificate or key as it is kept

	KubeCallTime    = 15 * time.Second // one request to the API server, unless it watches
	KubeServeEvery  = 30 * time.Second // between two looks at the serving certificate where nothing was told
	KubeEventQueue  = 256              // Events waiting to be written; what comes after is dropped, and counted
	KubeEventBytes  = 1024             // of an Event's message: the API's limit
	KubeEventMemory = 4096             // Events remembered, so that the same one counts up
	KubeEventRate   = 5                // Events written a second
	KubeQPS         = 50               // requests a second to the API server
	KubeBurst       = 100              // of them at once
)
