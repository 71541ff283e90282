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

// Service is the signing service. Fields are set once, before first use.
type Service struct {
	Partition, Region string
	Store             Store
	Sealer            Sealer
	// Root is the intermediate that issuing CAs are made by.
	Intermediate *issue.Authority
	Subject      issue.Subject // C, ST, O of signing certificates
	// CRLBase is the address under which CRLs are served: BASE/ID.crl.
	CRLBase     *url.URL
	DefaultKind Kind
	IssuingKey  issue.KeyType // of issuing CAs
	SelfCheck   SelfCheck
	Now         func() time.Time
	// further settings with safe zero values: MaxClockStep, LeafLife, CRLLife, …
	state serviceState
}

type serviceState struct{} // the owner of signing replaces this

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
	Overrides               bool // given; refused for this platform
	SigningMaterial         bool // given; refused for this platform
	Tags                    map[string]string
}
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

// The operations (the service model's, 18 of 19; StartSigningJob is answered
// with a ValidationException as the last one). Every error is an *Error.
func (s *Service) SignPayload(ctx context.Context, c Caller, in SignPayloadInput) (*SignPayloadOutput, error) {
	panic("unimplemented")
}
func (s *Service) PutSigningProfile(ctx context.Context, c Caller, in PutSigningProfileInput) (*PutSigningProfileOutput, error) {
	panic("unimplemented")
}
func (s *Service) GetSigningProfile(ctx context.Context, c Caller, in GetSigningProfileInput) (*GetSigningProfileOutput, error) {
	panic("unimplemented")
}
func (s *Service) ListSigningProfiles(ctx context.Context, c Caller, in ListSigningProfilesInput) (*ListSigningProfilesOutput, error) {
	panic("unimplemented")
}
func (s *Service) CancelSigningProfile(ctx context.Context, c Caller, profileName string) error {
	panic("unimplemented")
}
func (s *Service) RevokeSigningProfile(ctx context.Context, c Caller, in RevokeSigningProfileInput) error {
	panic("unimplemented")
}
func (s *Service) RevokeSignature(ctx context.Context, c Caller, in RevokeSignatureInput) error {
	panic("unimplemented")
}
func (s *Service) DescribeSigningJob(ctx context.Context, c Caller, jobID string) (*Job, error) {
	panic("unimplemented")
}
func (s *Service) ListSigningJobs(ctx context.Context, c Caller, in ListSigningJobsInput) (*ListSigningJobsOutput, error) {
	panic("unimplemented")
}
func (s *Service) AddProfilePermission(ctx context.Context, c Caller, in AddProfilePermissionInput) (revisionID string, err error) {
	panic("unimplemented")
}
func (s *Service) ListProfilePermissions(ctx context.Context, c Caller, in ListProfilePermissionsInput) (*ListProfilePermissionsOutput, error) {
	panic("unimplemented")
}
func (s *Service) RemoveProfilePermission(ctx context.Context, c Caller, in RemoveProfilePermissionInput) (revisionID string, err error) {
	panic("unimplemented")
}
func (s *Service) GetRevocationStatus(ctx context.Context, c Caller, in GetRevocationStatusInput) (*GetRevocationStatusOutput, error) {
	panic("unimplemented")
}
func (s *Service) GetSigningPlatform(ctx context.Context, c Caller, platformID string) (*Platform, error) {
	panic("unimplemented")
}
func (s *Service) ListSigningPlatforms(ctx context.Context, c Caller, in ListSigningPlatformsInput) (*ListSigningPlatformsOutput, error) {
	panic("unimplemented")
}
func (s *Service) TagResource(ctx context.Context, c Caller, resourceARN string, tags map[string]string) error {
	panic("unimplemented")
}
func (s *Service) UntagResource(ctx context.Context, c Caller, resourceARN string, keys []string) error {
	panic("unimplemented")
}
func (s *Service) ListTagsForResource(ctx context.Context, c Caller, resourceARN string) (map[string]string, error) {
	panic("unimplemented")
}
func (s *Service) StartSigningJob(ctx context.Context, c Caller, profileName string) error {
	panic("unimplemented")
}

// Authenticate finds the credential of an access key and opens its secret;
// a disabled or expired one is refused like an unknown one.
func (s *Service) Authenticate(ctx context.Context, accessKeyID string) (c Caller, secret string, err error) {
	panic("unimplemented")
}

// NewCredential makes an access key; the secret is shown this once.
func (s *Service) NewCredential(ctx context.Context, by string, c Credential) (made Credential, secret string, err error) {
	panic("unimplemented")
}

// DisableCredential ends an access key.
func (s *Service) DisableCredential(ctx context.Context, by, accessKeyID string) error {
	panic("unimplemented")
}

// CRL is the newest CRL of an authority (issuing CA or intermediate), for
// serving; RefreshCRLs reissues those that are due and returns all that
// changed, by id.
func (s *Service) CRL(ctx context.Context, id string) (der []byte, next time.Time, err error) {
	panic("unimplemented")
}
func (s *Service) RefreshCRLs(ctx context.Context) (changed map[string][]byte, err error) {
	panic("unimplemented")
}
