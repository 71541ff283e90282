package limits

import "time"

// Bounds on seals and on what they say.
const (
	SealFieldBytes   = 1 << 10                // commit, run address, tool of a seal
	SealCommandBytes = 1 << 10                // of a command as it is signed; what is longer is cut, with its hash
	SealTargets      = 64                     // manifests sealed by one command
	SealSignatures   = 256                    // signatures made by one command
	EvidenceBytes    = 1 << 20                // an evidence file
	EvidenceStages   = 64                     // in one file
	EvidenceFiles    = 64                     // redeemed by one command
	EvidenceCommand  = 16 << 10               // of a command in an evidence file
	EvidenceDepth    = 8                      // of nesting in it
	EvidenceLockTime = time.Minute            // to wait for another that writes the same file
	SealSettle       = time.Second            // to wait for a signal to oneself
	SealRetryFor     = time.Minute            // that a seal is tried again to be stored, after its command succeeded, if not told otherwise
	SealRetryMost    = time.Hour              // the longest that may be told
	SealRetryFirst   = 500 * time.Millisecond // before the first of these tries; doubled each time
	SealRetryWait    = 10 * time.Second       // the longest of these waits
)
