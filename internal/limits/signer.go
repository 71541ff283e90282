package limits

import "time"

// Bounds of the signing service. Those of the AWS Signer API's model (lengths,
// patterns, pages of 25) stand where a request is judged.
const (
	SignPayload        = 4096                // bytes of a payload to be signed
	SignAnnotations    = 64                  // of its descriptor
	ClockBack          = 5 * time.Second     // that the clock may be behind the last signing time
	ClockStep          = 5 * time.Minute     // that it may be set ahead at once
	ClockAhead         = time.Hour           // that the newest signing time, or the intermediate's CRL, may be ahead of it: that passes
	ClockGap           = 30 * 24 * time.Hour // that it may be ahead of both at a start
	SignTime           = time.Minute         // from the log's entry of an attempt to that of its result
	ReplyLife          = 15 * time.Minute    // that the answer to a request is kept for its retry
	ReplyPurge         = 500                 // old answers dropped in one transaction
	ReplyPurges        = 10_000              // rounds of that for all there are, when an operator accepts the clock
	RevocationHashes   = 32                  // certificate ids asked for at once
	ProfileTags        = 50
	ProfilePermissions = 100              // statements of one profile's policy
	ProfilePolicyBytes = 20 << 10         // their size as a policy document
	SigningParameters  = 16               // of one profile
	CredentialCache    = 4096             // opened access keys kept in memory
	CredentialFresh    = 2 * time.Second  // until a kept one is looked up again
	CredentialRules    = 100              // actions, and profiles, of one access key
	SigningKeys        = 10_000           // issuing CAs, leaves, and keys that were brought along, kept in memory
	SigningMaterial    = 1000             // signing certificates that operators brought along and did not delete
	PageToken          = 1 << 10          // bytes of a pagination token
	RevokeBatch        = 500              // leaves revoked in one transaction
	PublishTime        = 30 * time.Second // for the CRL of a revoked signature; a refresh goes on with it
	SelfCheckEvery     = 1000             // signatures of a key for one that is verified
)
