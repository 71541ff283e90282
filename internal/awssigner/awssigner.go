// Package awssigner serves the AWS Signer REST API: it authenticates with
// Signature Version 4, decodes, calls signing.Service, and encodes. AWS's
// error names live here; nothing is decided here about signing. It keeps in
// memory the signatures it has seen lately and what each principal has spent
// of its rate; it opens no port, and never logs an Authorization header, a
// token or a payload.
package awssigner

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/shuin/shuin/signing"
)

// Service is what the API is served from; [signing.Service] is it.
type Service interface {
	Authenticate(ctx context.Context, accessKeyID string) (c signing.Caller, secret string, err error)
	RequestClocks

	SignPayload(ctx context.Context, c signing.Caller, in signing.SignPayloadInput) (*signing.SignPayloadOutput, error)
	PutSigningProfile(ctx context.Context, c signing.Caller, in signing.PutSigningProfileInput) (*signing.PutSigningProfileOutput, error)
	GetSigningProfile(ctx context.Context, c signing.Caller, in signing.GetSigningProfileInput) (*signing.GetSigningProfileOutput, error)
	ListSigningProfiles(ctx context.Context, c signing.Caller, in signing.ListSigningProfilesInput) (*signing.ListSigningProfilesOutput, error)
	CancelSigningProfile(ctx context.Context, c signing.Caller, profileName string) error
	RevokeSigningProfile(ctx context.Context, c signing.Caller, in signing.RevokeSigningProfileInput) error
	RevokeSignature(ctx context.Context, c signing.Caller, in signing.RevokeSignatureInput) error
	DescribeSigningJob(ctx context.Context, c signing.Caller, jobID string) (*signing.Job, error)
	ListSigningJobs(ctx context.Context, c signing.Caller, in signing.ListSigningJobsInput) (*signing.ListSigningJobsOutput, error)
	AddProfilePermission(ctx context.Context, c signing.Caller, in signing.AddProfilePermissionInput) (revisionID string, err error)
	ListProfilePermissions(ctx context.Context, c signing.Caller, in signing.ListProfilePermissionsInput) (*signing.ListProfilePermissionsOutput, error)
	RemoveProfilePermission(ctx context.Context, c signing.Caller, in signing.RemoveProfilePermissionInput) (revisionID string, err error)
	GetRevocationStatus(ctx context.Context, c signing.Caller, in signing.GetRevocationStatusInput) (*signing.GetRevocationStatusOutput, error)
	GetSigningPlatform(ctx context.Context, c signing.Caller, platformID string) (*signing.Platform, error)
	ListSigningPlatforms(ctx context.Context, c signing.Caller, in signing.ListSigningPlatformsInput) (*signing.ListSigningPlatformsOutput, error)
	TagResource(ctx context.Context, c signing.Caller, resourceARN string, tags map[string]string) error
	UntagResource(ctx context.Context, c signing.Caller, resourceARN string, keys []string) error
	ListTagsForResource(ctx context.Context, c signing.Caller, resourceARN string) (map[string]string, error)
	StartSigningJob(ctx context.Context, c signing.Caller, profileName string) error
}

var _ Service = (*signing.Service)(nil)

// Server is the API. Fields are set once, before first use.
type Server struct {
	Service Service
	// Region the credential scope must name; an empty one is accepted only
	// where EmptyRegion is set (some old plugins send none).
	Region      string
	EmptyRegion bool
	// Host is the API's name H, with the port where it is not the scheme's
	// own; verification.H and data-H are served too. Requests signed for
	// another host are refused.
	Host string
	Now  func() time.Time
	Log  *slog.Logger
	// Rate is how many requests per second a principal may make, Burst at once; 0: limits' defaults.
	Rate  float64
	Burst int
	// Observe is told of every answer, if set: the operation (empty when the
	// request named none), AWS's error code (empty on success) and the time
	// taken. It is called from many goroutines.
	Observe func(operation, code string, took time.Duration)
}

// Hosts are the three names: H, verification.H, data-H.
func (s *Server) Hosts() []string {
	return []string{s.Host, "verification." + s.Host, "data-" + s.Host}
}

// serves says whether host, as a client wrote it, is a name of ours. A
// client may or may not write the port that is its scheme's own.
func (s *Server) serves(host string) bool {
	bare, port, err := net.SplitHostPort(host)
	usual := err == nil && (port == "80" || port == "443")
	for _, name := range s.Hosts() {
		if strings.EqualFold(name, host) || usual && strings.EqualFold(name, bare) {
			return true
		}
	}
	return false
}
