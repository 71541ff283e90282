package limits

import "time"

// Logging in to registries of clouds with a workload's identity.
const (
	CloudLoginTime   = 10 * time.Second // of one login
	CloudLoginLife   = time.Hour        // a token is used at most
	CloudLoginMargin = time.Minute      // before its end it is asked for again
	CloudLoginAgain  = 5 * time.Minute  // until an identity is looked for again where there was none
	CloudLoginBytes  = 64 << 10         // of an answer, and of the Pod's own token
	CloudLogins      = 1000             // registries whose tokens are kept
)
