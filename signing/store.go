package signing

import (
	"context"
	"errors"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
)

// ErrNotFound: the store has no such thing. ErrExists: it has one already.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
)

// Store keeps what the service must not lose. internal/sqlstore satisfies it.
type Store interface {
	// Update runs f in a read-write transaction and returns after its commit
	// is durable. Calls at the same time may share a commit; one whose f fails
	// is undone alone. f may run on another goroutine, after others', and does
	// nothing slow. Nothing of f is kept when Update returns an error.
	Update(ctx context.Context, f func(Tx) error) error
	// View runs f on one consistent state.
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is one transaction. Names of profiles are found ignoring case.
type Tx interface {
	// AppendEntry adds e to the log and returns its index.
	AppendEntry(e audit.Entry) (int64, error)

	// Clock is the latest signing time ever given out, zero when there is none;
	// SetClock moves it, together with the job of the signature.
	Clock() (time.Time, error)
	SetClock(t time.Time) error

	// RequestClock is the latest date of principal's requests that was ahead of
	// the service's clock, zero when there is none; SetRequestClock moves it to
	// t, and never back.
	RequestClock(principal string) (time.Time, error)
	SetRequestClock(principal string, t time.Time) error
	// CapRequestClocks moves those of all principals that are later than t back
	// to it, and says how many there were: they were set by a clock that was
	// wrong (AcceptClock).
	CapRequestClocks(t time.Time) (n int64, err error)

	// Profile is the current version of account's profile.
	Profile(account, name string) (Profile, error)
	ProfileVersion(account, name, version string) (Profile, error)
	// AddProfile stores a version and makes it the current one.
	AddProfile(p Profile) error
	// SetProfile replaces a version's status, reason and revocation.
	SetProfile(p Profile) error
	// Profiles lists current versions by name after the one named, at most limit.
	Profiles(q ProfileQuery) ([]Profile, error)

	Tags(account, name string) (map[string]string, error)
	SetTags(account, name string, tags map[string]string) error

	Permissions(account, name string) (revision string, list []Permission, err error)
	SetPermissions(account, name, revision string, list []Permission) error

	AddJob(j Job) error
	Job(account, id string) (Job, error)
	// SetJobRevocation stores j.Revocation; the rest of a job never changes.
	SetJobRevocation(j Job) error
	// Jobs lists newest first, after (older than) the job named, at most limit.
	Jobs(q JobQuery) ([]Job, error)

	// Reply finds a kept reply not older than since.
	Reply(principal, invocationID, bodySHA256 string, since time.Time) (Reply, error)
	AddReply(r Reply) error // ErrExists when the key is taken
	// PurgeReplies drops some of those older than before, the oldest first: few
	// enough that what waits for the transaction does not wait long.
	PurgeReplies(before time.Time) error
	// DropReply drops one; that there is none is no error.
	DropReply(principal, invocationID, bodySHA256 string) error

	AddAuthority(a Authority) error
	Authority(id string) (Authority, error)
	// AuthorityOf is the newest one of a profile version.
	AuthorityOf(p awsprofile.Profile) (Authority, error)
	Authorities() ([]Authority, error)
	// SetAuthority stores CRLNumber, CRL, CRLNext, Revoked.
	SetAuthority(a Authority) error
	AddRevokedCertificate(r RevokedCertificate) error // once: see CertificateRevoked
	// RevokedCertificates are those of one authority, oldest first.
	RevokedCertificates(authority string) ([]RevokedCertificate, error)
	CertificateRevoked(authority, serial string) (bool, error)
	// RevokedIDs says which of ids belong to certificates that were revoked
	// (leaf or issuing CA); ids are those of awsprofile.CertificateIDs.
	RevokedIDs(ids []string) ([]string, error)
	// RevokedEditions are the revoked ids of the certificates that ids name, with
	// whatever edition of their issuer: those that agree in awsprofile.OwnHash.
	RevokedEditions(ids []string) ([]string, error)
	AddRevokedID(id string, at time.Time) error

	AddCertificate(c Certificate) error
	Certificate(arn awsprofile.Certificate) (Certificate, error)
	// Certificates are all, those deleted too, by when they were imported.
	Certificates() ([]Certificate, error)
	// CertificatesInUse are those that an active profile signs with, each once.
	CertificatesInUse() ([]awsprofile.Certificate, error)
	// SetCertificate stores SealedKey and Deleted.
	SetCertificate(c Certificate) error

	AddCredential(c Credential) error
	Credential(accessKeyID string) (Credential, error)
	Credentials() ([]Credential, error)
	// SetCredential stores Disabled and Expires.
	SetCredential(c Credential) error
}

// ProfileQuery selects profiles of one account.
type ProfileQuery struct {
	Account  string
	Statuses []ProfileStatus // empty: all
	// Certificate selects those that sign with it; zero: all.
	Certificate awsprofile.Certificate
	After       string // name, exclusive
	Limit       int
}

// JobQuery selects jobs of one account. Zero fields do not select.
type JobQuery struct {
	Account       string
	Status        JobStatus
	RequestedBy   string
	Invoker       string
	Revoked       *bool
	ExpiresBefore time.Time
	ExpiresAfter  time.Time
	After         string // job id, exclusive
	Limit         int
}

// Sealer encrypts secrets at rest. internal/keys/age satisfies it.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}
