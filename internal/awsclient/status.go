package awsclient

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// Status asks what was revoked. It satisfies verify.SignerStatus. Answers are
// remembered for limits.SignerStatusHeld in this process.
type Status struct{ Client *Client }

var _ verify.SignerStatus = (*Status)(nil)

type heldStatus struct {
	revoked []string
	until   time.Time
}

// RevocationStatus asks in the profile's own partition and region. An answer
// that refuses the question, or is not the API's, is bad (shuin.CodeMalformed
// in the error's tree); one that refuses the caller, or none, means that the
// status is not known. Settings that cannot be used are shuin.CodeInvalidInput.
func (s *Status) RevocationStatus(ctx context.Context, q awsprofile.StatusQuery, config map[string]string) ([]string, error) {
	settings, err := SettingsOf(config)
	if err != nil {
		return nil, err
	}
	at := settings.at(place{q.Profile.Partition, q.Profile.Region})
	key := statusKey(settings, q)
	if held, ok := s.Client.heldStatus(key); ok {
		return held, nil
	}
	if err := s.Client.heldFailure(at, key); err != nil {
		return nil, err
	}
	began := s.Client.Caller.Now()
	revoked, err := s.ask(ctx, settings, q)
	if err != nil {
		s.Client.holdFailure(at, key, err, s.Client.Caller.Now().Sub(began))
		return nil, err
	}
	s.Client.holdStatus(key, revoked)
	return slices.Clone(revoked), nil
}

func (s *Status) ask(ctx context.Context, settings Settings, q awsprofile.StatusQuery) ([]string, error) {
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	service, err := s.Client.service(limited, settings, place{q.Profile.Partition, q.Profile.Region})
	if err != nil {
		return nil, err
	}
	out, err := askStatus(limited, service, &signer.GetRevocationStatusInput{
		PlatformId:         aws.String(awsprofile.PlatformID),
		ProfileVersionArn:  aws.String(q.Profile.String()),
		JobArn:             aws.String(q.Job.String()),
		SignatureTimestamp: aws.Time(q.SignedAt.UTC()),
		CertificateHashes:  q.CertificateIDs,
	})
	if err != nil {
		return nil, statusError(failed(ctx, call{operation: "GetRevocationStatus", resource: q.Profile.String() + " and " + q.Job.String()}, err))
	}
	return out.RevokedEntities, nil
}

// askStatus asks the host data-H, which the API's model names; where that name
// does not exist, verification.H, which older clients use, and then H itself.
func askStatus(ctx context.Context, service *signer.Client, in *signer.GetRevocationStatusInput) (*signer.GetRevocationStatusOutput, error) {
	out, err := service.GetRevocationStatus(ctx, in, signer.WithAPIOptions(strictStatus))
	if service.Options().BaseEndpoint == nil {
		return out, err // AWS's own names exist, or the region does not
	}
	for _, prefix := range []string{"verification.", ""} {
		if !awscall.Nameless(err) {
			return out, err
		}
		if next, nextErr := service.GetRevocationStatus(ctx, in, signer.WithAPIOptions(strictStatus, hostPrefix(prefix))); !awscall.Nameless(nextErr) {
			return next, nextErr
		}
	}
	return out, err
}

// statusError marks a refusal of the question as a bad answer: retrying it, or
// other credentials, would not help.
func statusError(err error) error {
	var service *awscall.ServiceError
	if errors.As(err, &service) {
		switch service.Means() {
		case shuin.CodeInvalidInput, shuin.CodeNotFound:
			return &shuin.Error{
				Code: shuin.CodeMalformed, Err: err,
				Hint: "the signer refuses the question itself, in the words above: check the endpoint, and whether this signer made the signature",
			}
		}
	}
	return err
}

// statusKey is one question to one signer by one principal.
func statusKey(s Settings, q awsprofile.StatusQuery) string {
	ids := slices.Sorted(slices.Values(q.CertificateIDs))
	return strings.Join(append([]string{
		s.Region, s.Profile, s.Endpoint, q.Profile.String(), q.Job.String(), q.SignedAt.UTC().Format(time.RFC3339Nano),
	}, ids...), "\x00")
}

// heldFailure is of a question, or a signer, that had no answer just now: an
// image with a hundred signatures is not to wait for it a hundred times.
type heldFailure struct {
	err   error
	until time.Time
}

func (c *Client) heldFailure(s Settings, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Caller.Now()
	if h, ok := c.down[s]; ok && now.Before(h.until) {
		return h.err
	}
	if h, ok := c.failures[key]; ok && now.Before(h.until) {
		return h.err
	}
	return nil
}

// holdFailure remembers that a question had no answer: copies of a signature,
// which anybody can make, ask the same. A signer that cannot be reached, that
// throttles, or that does not take the credentials is not asked anything, nor
// is one whose failures took more time than one call may.
func (c *Client) holdFailure(s Settings, key string, err error, took time.Duration) {
	code := shuin.CodeOf(err)
	if code == shuin.CodeDeadline {
		return // the caller's own
	}
	var service *awscall.ServiceError
	answered := errors.As(err, &service)
	now := c.Caller.Now()
	held := heldFailure{err, now.Add(limits.SignerDownHeld)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down == nil {
		c.down, c.wasted = map[Settings]heldFailure{}, map[Settings]time.Duration{}
	}
	if c.failures == nil || len(c.failures) >= limits.SignerStatuses {
		c.failures = map[string]heldFailure{}
	}
	c.failures[key] = held
	c.wasted[s] += took
	if code == shuin.CodeThrottled || code == shuin.CodeUnauthorized || code == shuin.CodeUnavailable && !answered || c.wasted[s] >= limits.AWSCallTime {
		for k, h := range c.down {
			if !now.Before(h.until) {
				delete(c.down, k)
			}
		}
		c.down[s] = held
		delete(c.wasted, s)
	}
}

func (c *Client) heldStatus(key string) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.statuses[key]
	if !ok || c.Caller.Now().After(h.until) {
		return nil, false
	}
	return slices.Clone(h.revoked), true
}

func (c *Client) holdStatus(key string, revoked []string) {
	now := c.Caller.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statuses == nil || len(c.statuses) >= limits.SignerStatuses {
		c.statuses = map[string]heldStatus{} // full: all are young, asking again is cheap
	}
	c.statuses[key] = heldStatus{slices.Clone(revoked), now.Add(limits.SignerStatusHeld)}
}
