// Package awsprofile knows AWS signing profiles: the spellings of their ARNs,
// the attributes that AWS Signer signs into an envelope, which trusted
// identities a profile version satisfies, and the certificate ids that
// revocation is asked for. It decides from values alone: it asks no service,
// and says nothing about certificates being trusted.
package awsprofile

import (
	"crypto/x509"
	"time"
)

// What AWS Signer calls things for container images.
const (
	// PluginName is the verification plugin that AWS Signer's envelopes name.
	PluginName = "com.amazonaws.signer.notation.plugin"
	// PlatformID is the only platform for container images.
	PlatformID = "Notation-OCI-SHA384-ECDSA"
	// AttributeProfileVersion and AttributeJob are critical signed attributes.
	AttributeProfileVersion = "com.amazonaws.signer.signingProfileVersion"
	AttributeJob            = "com.amazonaws.signer.signingJob"
	// AttributeProfileAlias is known by name only: a signature that has it needs a newer verifier.
	AttributeProfileAlias = "com.amazonaws.signer.signingProfileAlias"
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

// ParseProfile reads every spelling seen in the field; String gives the
// canonical one.
func ParseProfile(s string) (Profile, error) { panic("unimplemented") }

// String is arn:PARTITION:signer:REGION:ACCOUNT:/signing-profiles/NAME[/VERSION].
func (p Profile) String() string { panic("unimplemented") }

// Unversioned is the profile that p is a version of.
func (p Profile) Unversioned() Profile { panic("unimplemented") }

// ParseJob reads the ARN of a signing job.
func ParseJob(s string) (Job, error) { panic("unimplemented") }

// String is arn:PARTITION:signer:REGION:ACCOUNT:/signing-jobs/ID.
func (j Job) String() string { panic("unimplemented") }

// ValidName, ValidVersion and ValidAccount hold a whole value against the
// service model's pattern: [a-zA-Z0-9_]{2,64}, [a-zA-Z0-9]{10}, [0-9]{12}.
func ValidName(s string) bool    { panic("unimplemented") }
func ValidVersion(s string) bool { panic("unimplemented") }
func ValidAccount(s string) bool { panic("unimplemented") }

// CertificateIDs are the ids of chain (leaf first, root last and included) in
// its order: for each certificate the lower-case hexadecimal SHA-384 of its
// TBSCertificate followed by that of its issuer's, for the root its own twice.
func CertificateIDs(chain []*x509.Certificate) []string { panic("unimplemented") }
