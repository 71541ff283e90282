package limits

import "time"

// Bounds of watching what runs.
const (
	WatchKeyBytes  = 1024 // of a claim's key
	WatchNameBytes = 64   // of a notifier's name
	WatchARNBytes  = 2048 // of a subject's ARN: AWS's own bound
	WatchTextBytes = 1024 // of a group, a container's name, a principal

	PolicyPrincipals = 100 // signerAdmins of a policy, and principals of one of its stages

	WatchLease     = 16 * time.Minute    // one observation: a Lambda function may run for 15
	WatchClaimLife = 15 * 24 * time.Hour // what was decided is remembered: a queue keeps an event for 14 days
	WatchSettle    = 26 * time.Hour      // until a finding that is seen no more counts as resolved by another image: longer than a day between two sweeps
	WatchRemind    = 24 * time.Hour      // until a finding that is still so is told again
	WatchToldLife  = 90 * 24 * time.Hour // what was told is remembered after it was last seen
	WatchSeenEvery = 5 * time.Minute     // a store may leave it at this to write down that a finding was seen again
	WatchEnds      = 25                  // states that one message says to be over: some places are sent one for each
	WatchTellings  = 250                 // states told of one finding: 80 KB in one item of DynamoDB, which each change writes

	WatchMessageBytes = 2 << 10 // of a finding's message: the reason with all missing stages
	WatchHintBytes    = 1 << 10
	WatchLineBytes    = 4 << 10     // of a finding in one line
	WatchQuiet        = time.Minute // that nothing was told of a group is remembered, where its images are admitted
	WatchQuietIDs     = 10_000      // of so many

	WatchGonePages = 1000 // of what is open somewhere, looked at for what is gone
	WatchGoneEnds  = 100  // of that, and of what no store knows, told to be over by one sweep: each is a message

	WatchReactionsPerMinute = 5    // by all functions with one store, unless asked otherwise
	WatchReactionsPerHour   = 30   // likewise
	WatchReactionsPerGroup  = 3    // to tasks of one group in an hour, likewise
	WatchReasonBytes        = 1000 // of the reason a reaction gives: ECS keeps 1,024 bytes

	WatchCalm = 30 * time.Minute // after the policy or its trust stores changed nothing is stopped or deregistered

	WatchMemoryEntries = 100_000 // of each kind in a store in memory
	WatchDigests       = 100_000 // distinct digests that an inventory tells apart
)
