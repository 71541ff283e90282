package limits

import "time"

// Bounds of files that are read over HTTPS from addresses of the configuration.
const (
	WebFileTime   = 10 * time.Second // one request, with its body
	WebFileHeader = 64 << 10         // of an answer's header
	WebFileETag   = 1 << 10          // an entity tag that is sent back
)
