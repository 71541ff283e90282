package limits

import "time"

// Bounds of the gate's HTTP API.
const (
	GateAPIBodyBytes  = 1 << 20          // a request's body
	GateAPIBodyTime   = 10 * time.Second // until a body has arrived
	GateAPIInFlight   = 1024             // requests at once
	GateAPIShare      = 256              // of them by one principal
	GateAPIRate       = 100              // images asked about per second by one principal, unless asked otherwise
	GateAPIBurst      = 200              // of them at once
	GateAPINameBytes  = 512              // of a cluster, a namespace, a container
	GateAPIImageBytes = 1 << 10          // of an image reference
	GateAPIEchoBytes  = 100              // of a wrong value, in an error's text

	GateAPITimeout      = 10 * time.Second       // until the answer, for who does not say
	GateAPITimeoutLeast = time.Second            // less is refused: nothing can be found out in it
	GateAPITimeoutMost  = 45 * time.Second       // a longer one is cut to this; less than ServerWriteTime
	GateAPIMargin       = 500 * time.Millisecond // of that time, kept for sending the answer; a tenth of it at most

	GatePrincipals    = 1000
	ConfigElements    = 1000    // of one list in the configuration
	GatePlacePatterns = 100     // clusters, and namespaces, of one principal
	GateTokenLeast    = 32      // characters of a bearer token
	GateTokenMost     = 1 << 10 // likewise
	GateTokens        = 4       // of one principal at a time
	GateClientCABytes = 1 << 20 // the file of CAs of client certificates
)

// Bounds of the gate in a server.
const (
	GateReloadEvery   = 2 * time.Second // between two looks at policy, trust stores and principals
	GateReloadTime    = time.Minute     // one look
	GateRefusedBundle = time.Minute     // until a bundle that was refused is looked at again, unchanged
	GateRuleLabels    = 100             // rules that metrics tell apart
	GateLogged        = 1 << 16         // answers remembered as written to the signer's log
	GateLoggedAgain   = 24 * time.Hour  // until the same answer is written to it again
	GateRecordTime    = 2 * time.Second // to write one decision to the records, and as long to the signer's log
	GCGateMemory      = 768 << 20       // debug.SetMemoryLimit of a server with a gate: what it remembers is up to half of it
	GateRegistryConns = 64              // connections kept open to one registry
)
