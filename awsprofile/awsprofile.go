// Package awsprofile knows AWS signing profiles: the spellings of their ARNs,
// the attributes that AWS Signer signs into an envelope, which trusted
// identities a profile version satisfies, and the certificate ids that
// revocation is asked for. It decides from values alone: it asks no service,
// knows no credentials, and says nothing about certificates being trusted.
package awsprofile

import "time"

// What AWS Signer calls things for container images.
const (
	// PluginName is the verification plugin that AWS Signer's envelopes name.
	PluginName = "com.amazonaws.signer.notation.plugin"
	// PluginVersion is the release of that plugin whose rules these are: a
	// signature that asks for a later one needs a later verifier.
	PluginVersion = "1.0.350"
	// PlatformID is the only platform for container images.
	PlatformID = "Notation-OCI-SHA384-ECDSA"
	// PayloadFormat is the only payload that the platform signs.
	PayloadFormat = "application/vnd.cncf.notary.payload.v1+json"
	// AttributeProfileVersion and AttributeJob are critical signed attributes.
	// SignPayload gives their values back under the same names.
	AttributeProfileVersion = "com.amazonaws.signer.signingProfileVersion"
	AttributeJob            = "com.amazonaws.signer.signingJob"
	// AttributeProfileAlias is known by name only: a signature that has it needs a newer verifier.
	AttributeProfileAlias = "com.amazonaws.signer.signingProfileAlias"
)

// What a caller may be allowed to do, in IAM's words, as far as signing and
// verifying need it.
const (
	ActionSignPayload         = "signer:SignPayload"
	ActionGetSigningProfile   = "signer:GetSigningProfile"
	ActionGetRevocationStatus = "signer:GetRevocationStatus"
)

// Profile is the ARN of a signing profile or, with a Version, of one version
// of it.
type Profile struct {
	Partition string // aws, aws-cn, aws-us-gov, …
	Region    string
	Account   string // twelve digits
	Name      string
	Version   string // empty: the profile itself
}

// Job is the ARN of a signing job.
type Job struct {
	Partition, Region, Account string
	ID                         string
}

// StatusQuery is what GetRevocationStatus is asked.
type StatusQuery struct {
	Profile        Profile // with its version
	Job            Job
	SignedAt       time.Time // the authentic signing time
	CertificateIDs []string  // [CertificateIDs] of the chain
}
