package limits

import "time"

// Bounds of pipeline policies. The file is bounded by PolicyBytes.
const (
	PolicyStages      = 100
	PolicySigners     = 100 // of one stage
	PolicyRules       = 1000
	PolicyPatterns    = 2000   // image patterns of all rules
	PolicyStars       = 16     // of one pattern, or of one cluster's or namespace's name
	PolicyExceptions  = 10_000 // and image patterns of all of them
	PolicyPlaces      = 100    // clusters, and namespaces, of one rule or exception
	PolicyDigests     = 1000   // digests that one rule allows
	PolicyNameBytes   = 128    // of a rule, a cluster, a namespace, an owner
	PolicyStageBytes  = 63     // of a stage's name
	PolicyTextBytes   = 1000   // of a reason, of a metadata value
	PolicyMetadata    = 20     // pairs that one stage wants
	PolicyDepth       = 4      // requirements inside each other
	PolicyItems       = 16     // in one all, any or atLeast
	PolicyRetryFor    = 5 * time.Minute
	PolicyDuration    = 20 * 365 * 24 * time.Hour // a maxAge
	PolicyExpiresSoon = 14 * 24 * time.Hour       // before an exception's end, lint says so

	// Of finding different signers for the items of an atLeast.
	WitnessSets     = 256       // ways to satisfy one item that are looked at
	WitnessSteps    = 200_000   // tries of one atLeast
	WitnessStepsAll = 1_000_000 // tries of one decision, and of looking through a file for rules that nobody could satisfy
	WitnessDealt    = 1024      // ways to deal out signatures whose stage is not known

	PolicyChecks = 100_000_000 // steps of holding a file's rules against each other
	PolicyCovers = 1_000_000   // identities that are held against each other

	PolicyTestBytes = 1 << 20 // a file of policy tests
	PolicyTests     = 5000    // cases in it
	PolicyTestSeals = 100     // of one case
)
