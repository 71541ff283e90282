package limits

import "time"

// Bounds on seals and on what they say.
const (
	SealFieldBytes   = 1 << 10     // commit, run address, tool of a seal
	SealCommandBytes = 1 << 10     // of a command as it is signed; what is longer is cut, with its hash
	SealTargets      = 64          // manifests sealed by one command
	SealSignatures   = 256         // signatures made by one command
	EvidenceBytes    = 1 << 20     // an evidence file
	EvidenceStages   = 64          // in one file
	EvidenceFiles    = 64          // redeemed by one command
	EvidenceCommand  = 16 << 10    // of a command in an evidence file
	EvidenceDepth    = 8           // of nesting in it
	EvidenceLockTime = time.Minute // to wait for another that writes the same file
)
