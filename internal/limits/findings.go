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

// Bounds of what a server keeps for watchers: what they decided and told.
const (
	StateBodyBytes  = 16 << 10                // of a request
	StateCallBytes  = 128                     // of a call's name
	StateAnswerLife = 15 * time.Minute        // that a call is known by its name, so that it is made once
	StateClaims     = 1_000_000               // of one watcher; the oldest make room
	StateTellings   = 200_000                 // likewise
	StateCounts     = 10_000                  // likewise, and no more are taken
	StateTidied     = 1000                    // rows that nobody needs any more, deleted at once
	StateTidyEvery  = 24 * time.Hour          // between two looks for them
	StateTidyFirst  = time.Hour               // from a server's start to its first: its clock is set by then
	StateNames      = 100                     // of what is in use, likewise
	StateValueBytes = 1 << 10                 // of what is in use
	StateLeaseMost  = 24 * time.Hour          // of a claim, and of a turn to tell
	StateRemindMost = 36_600 * 24 * time.Hour // until a finding is told again

	StateCallTime  = 10 * time.Second // one call of a watcher, all its tries
	StateTryTime   = 4 * time.Second  // one of them
	StateCallTries = 4                // tries of such a call
	StateForgotten = 24 * time.Hour   // what was forgotten stays in DynamoDB: longer than anybody tries to forget it
	StateDrops     = 10               // of what nobody needs any more, by one change of an item
	StateAnswer    = 1 << 20          // bytes of what is answered: WatchTellings of them
)
