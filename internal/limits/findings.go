package limits

import "time"

// Bounds of the findings that a server keeps.
const (
	FindingBytes     = 240 << 10       // of one as JSON: NotifyDetailBytes, for whoever sends it
	FindingCodeBytes = 64              // of a reason's code
	FindingAhead     = 5 * time.Minute // of the server's clock, that one may have been judged

	FindingsKept      = 100_000             // by one server; those that ended longest ago make room
	FindingsBytes     = 512 << 20           // of them as JSON, together
	FindingsForgot    = 90 * 24 * time.Hour // until an open one of which nothing was told may make room
	FindingsCountTime = 2 * time.Second     // to count what is open, for a metric
	FindingsListCost  = 10                  // of a principal's rate, of a list
	FindingsPage      = 100                 // of a page, for who does not say
	FindingsPageMost  = 1000                // of a page
	FindingsPageSize  = 4 << 20             // bytes of a page's findings: the page ends with the one that goes beyond
)
