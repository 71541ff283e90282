package signing

import (
	"context"
	"net/url"
	"time"

	"github.com/shuin/shuin/issue"
)

// Caller is who asks, authenticated.
type Caller struct {
	Account      string
	Principal    string // ARN
	Actions      []string
	Profiles     []string
	RequestID    string
	InvocationID string // the SDK's, a hint: amz-sdk-invocation-id
	BodySHA256   string // hexadecimal, of the request
}

// Fault says which of AWS's errors an Error is. The zero value is internal.
type Fault uint8

const (
	FaultInternal     Fault = iota // InternalServiceErrorException
	FaultValidation                // ValidationException
	FaultAccessDenied              // AccessDeniedException
	FaultNotFound                  // ResourceNotFoundException, or NotFoundException of the tag operations
	FaultConflict                  // ConflictException
	FaultLimit                     // ServiceLimitExceededException
	FaultThrottled                 // TooManyRequestsException
	FaultUnavailable               // InternalServiceErrorException, 503: the store is away, the clock is wrong
)

// Error is a refusal with the text its reader gets. Err is for the log only.
type Error struct {
	Fault   Fault
	Message string
	Err     error
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// Service is the signing service. Its exported fields are set once, before
// first use; it is safe for concurrent use and must not be copied after it.
type Service struct {
	Partition, Region string // of every ARN it makes
	Store             Store
	Sealer            Sealer
	// Intermediate is what issuing CAs are made by.
	Intermediate *issue.Authority
	// Subject is the C, ST and O of the certificates; the account becomes
	// their OU, the profile the CN of a leaf.
	Subject issue.Subject
	// CRLBase is the address under which CRLs are served: BASE/ID.crl. Without
	// one no certificate names a CRL, and no profile can be of KindStandard.
	CRLBase *url.URL
	// DefaultKind is that of profiles that name none; empty: KindAWS.
	DefaultKind Kind
	// IssuingKey is the type of the keys of issuing CAs; empty: P-256.
	IssuingKey issue.KeyType
	SelfCheck  SelfCheck
	// Now is the clock, with its monotonic reading.
	Now func() time.Time
	// MaxClockStep is by how much the clock may be set ahead at once, as its
	// monotonic reading shows, before signing stops; 0: limits.ClockStep.
	MaxClockStep time.Duration
	// LeafLife is how long a leaf certificate is valid, and so how long the key
	// of KindAWS is used; 0: a day. Signatures outlive it.
	LeafLife time.Duration
	// CRLLife is from a CRL's issue to its next update; 0: a day. CRLEvery is
	// how often it is reissued, at a moment of each CA's own; 0: an hour. Both
	// are cut to what makes sense.
	CRLLife, CRLEvery time.Duration
	// Notice is told what an operator should look at: constant message, facts
	// as slog's key and value pairs, no secrets. Nil: nobody.
	Notice func(ctx context.Context, message string, facts ...any)
	// NewCRL is told of every CRL made, once it is stored. It must not call the
	// service. Nil: nobody.
	NewCRL func(id string, der []byte)

	state serviceState
}

// SelfCheck says how often the service verifies its own signature values.
type SelfCheck uint8

const (
	SelfCheckSampled SelfCheck = iota // the first of each key, then one in a thousand
	SelfCheckAlways
)

// Inputs and outputs of the operations, in the API model's words. Times are
// time.Time, blobs bytes; pointers are optional members.

type SignPayloadInput struct {
	ProfileName, ProfileOwner, PayloadFormat string
	Payload                                  []byte
}
type SignPayloadOutput struct {
	JobID, JobOwner string
	Metadata        map[string]string
	Signature       []byte
}

type PutSigningProfileInput struct {
	ProfileName, PlatformID string
	Validity                *Validity
	Parameters              map[string]string
	Overrides               bool             // given; refused for this platform
	SigningMaterial         *SigningMaterial // nil: the signer makes keys and certificates itself
	Tags                    map[string]string
}

// SigningMaterial names a signing certificate that an operator imported
// (ImportCertificate), of the caller's own account.
type SigningMaterial struct{ CertificateARN string }
type PutSigningProfileOutput struct{ ARN, ProfileVersion, ProfileVersionARN string }

type GetSigningProfileInput struct{ ProfileName, ProfileOwner string }
type GetSigningProfileOutput struct {
	Profile Profile
	Tags    map[string]string
}

type ListSigningProfilesInput struct {
	IncludeCanceled bool
	MaxResults      int // 0: 25
	NextToken       string
	PlatformID      string
	Statuses        []string
}
type ListSigningProfilesOutput struct {
	Profiles  []GetSigningProfileOutput
	NextToken string
}

type RevokeSigningProfileInput struct {
	ProfileName, ProfileVersion, Reason string
	EffectiveTime                       time.Time
}
type RevokeSignatureInput struct{ JobID, JobOwner, Reason string }

type ListSigningJobsInput struct {
	Status, PlatformID, RequestedBy, JobInvoker string
	MaxResults                                  int
	NextToken                                   string
	IsRevoked                                   *bool
	ExpiresBefore, ExpiresAfter                 time.Time
}
type ListSigningJobsOutput struct {
	Jobs      []Job
	NextToken string
}

type AddProfilePermissionInput struct {
	ProfileName, Action, Principal, StatementID, ProfileVersion, RevisionID string
}
type RemoveProfilePermissionInput struct{ ProfileName, StatementID, RevisionID string }
type ListProfilePermissionsInput struct{ ProfileName, NextToken string }
type ListProfilePermissionsOutput struct {
	RevisionID      string
	PolicySizeBytes int
	Permissions     []Permission
	NextToken       string
}

type GetRevocationStatusInput struct {
	SignatureTimestamp                    time.Time
	PlatformID, ProfileVersionARN, JobARN string
	CertificateHashes                     []string
}
type GetRevocationStatusOutput struct{ RevokedEntities []string }

type Platform struct {
	PlatformID, DisplayName, Partner, Target, Category string
	RevocationSupported                                bool
	MaxSizeInMB                                        int
	// signingConfiguration and signingImageFormat as AWS has them for this platform
	EncryptionAlgorithm, HashAlgorithm string
}
type ListSigningPlatformsInput struct {
	Category, Partner, Target string
	MaxResults                int
	NextToken                 string
}
type ListSigningPlatformsOutput struct {
	Platforms []Platform
	NextToken string
}
