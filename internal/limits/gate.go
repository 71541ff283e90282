package limits

import "time"

// Bounds of the gate: one decision, and all that are under way.
const (
	GateImages         = 1000 // images of one workload
	GateParallel       = 32   // of them looked at together
	GateClusterEntries = 1000 // repositories whose clusters a policy's rules recall
	GateClusters       = 100  // that an image is judged for, where nobody knows in which it will run

	GateFlights     = 4096        // digests and tags being asked about at a time; who comes after waits
	GateAccessPart  = 4           // one access has a quarter at most of those that the others leave
	GateFlightPart  = 8           // and each of its registries an eighth of what it may still have
	GateFlightTime  = time.Minute // one of them, repetitions and waiting included
	GateSurveys     = 512         // of them that talk to any registry at a time: each holds SignaturesBytes at most
	GatePerRegistry = 16          // of them that talk to one registry at a time
	GateSurveyPart  = 24          // or a 24th of what is left, where that is less
	GatePlatforms   = 4           // platforms of one image surveyed together

	GateRetryFirst = 250 * time.Millisecond // before what could not be checked is tried again; doubled each time
	GateRetryMost  = 5 * time.Second        // the longest of these waits
)

// Bounds of what is read of a signature nobody trusts, to tell what it was
// meant for.
const (
	ClaimBytes        = 64 << 10 // the largest payload that is looked into
	ClaimedStageBytes = 256      // the longest name of a stage
)

// Bounds of what the gate remembers.
const (
	GateAdmitLife    = 5 * time.Minute // a good answer, unless it grows stale before
	GateDenyLife     = 5 * time.Second // a bad one
	GateLastGoodLife = 24 * time.Hour  // a good answer that serves while the world cannot be asked
	GateIndexLife    = 24 * time.Hour  // the platforms of an index, which its digest fixes

	GateVerdictBytes  = 64 << 20 // answers remembered, as far as counted
	GateLastGoodBytes = 64 << 20
	GateIndexBytes    = 16 << 20
	GateEntryBytes    = 1 << 10 // what an entry counts at least: bounds their number
	GateForgotten     = 8       // calls of Forget that an answer under way is held against
	GateAnew          = 3       // surveys for one asker, where what they rest on is forgotten meanwhile
	GateParsedEntries = 16_384  // references read before
	GateParsedBytes   = 512     // the longest reference that is remembered as read

	GateReports       = 128     // signatures told of one image
	GateReportBytes   = 8 << 10 // one of them; where it is larger, its reason alone is told
	GateMetadataBytes = 4 << 10 // signed metadata kept of one signature
	GateReasonBytes   = 2 << 10 // one reason's text, and its hint's
	GateReasonRunes   = 600     // of a reason in a line for people
)
