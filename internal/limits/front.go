package limits

import "time"

// Bounds of connections that have sent no request yet.
const (
	ServerFirstTime = 5 * time.Second // from taking one to the end of its first request's header, TLS included
	ServerFairPart  = 8               // a sender with more than an eighth of all has no room made by who has less
)
