package awssigner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sigv4"
	"github.com/shuin/shuin/signing"
)

const serviceName = "signer"

// claim is what a request says of who signed it.
type claim struct {
	caller signing.Caller
	secret string
}

// claimed finds the access key that a request names, or refuses it: another
// host, service or region, a date too far off, an unknown key. Whether the
// key's owner sent it shows with the body.
func (d *door) claimed(ctx context.Context, q *request) (c claim, err error) {
	s := d.server
	if !s.serves(q.http.Host) {
		return c, &failure{status: http.StatusForbidden, code: sigv4.CodeInvalid, reason: "host",
			message: fmt.Sprintf("The request is for the host %s, but this signer is %s. Name it in the endpoint address.", echo(q.http.Host), strings.Join(s.Hosts(), ", "))}
	}
	signed, err := sigv4.Parse(q.http)
	if err != nil {
		return c, err
	}
	if err := s.scope(signed, s.Now()); err != nil {
		return c, err
	}
	q.signed = signed
	if c.caller, c.secret, err = s.Service.Authenticate(ctx, signed.AccessKeyID); err != nil {
		return c, unknownKey(signed.AccessKeyID, err)
	}
	return c, nil
}

// identify holds a request with its body against the claim, or refuses it: a
// wrong signature, a caller above its rate, a signature used before.
func (d *door) identify(ctx context.Context, q *request, c claim) error {
	signed := q.signed
	if err := signed.Verify(q.http, q.body, c.secret, &d.keys); err != nil {
		return err
	}
	if signed.SessionToken != "" {
		return &failure{status: http.StatusForbidden, code: codeUnknownClient, reason: "session token",
			message: "The security token included in the request is invalid: this signer's access keys have no session token. Unset AWS_SESSION_TOKEN."}
	}
	c.caller.RequestID, c.caller.InvocationID, c.caller.BodySHA256 = q.id, invocationID(q.http), signed.BodySHA256
	q.caller = c.caller
	now := d.server.Now()
	if !d.rates.allow(q.caller.Principal, now) {
		return &failure{status: http.StatusTooManyRequests, code: codeThrottled, reason: "rate", retry: true,
			message: fmt.Sprintf("Rate exceeded: a principal may make %v requests per second, %d at once.", d.rates.limit, d.rates.burst)}
	}
	return d.once(ctx, q, now)
}

// once lets a signature through once, or as often as its operation bears, also
// across a restart: what is dated ahead of the clock would else pass again.
func (d *door) once(ctx context.Context, q *request, now time.Time) (err error) {
	u := use{principal: q.caller.Principal, signature: q.signed.Signature, signed: q.signed.Time, invocation: q.caller.InvocationID, repeat: q.op.repeat}
	switch {
	case u.repeat == repeatRead:
		return d.replays.check(u, now)
	case u.repeat == repeatSame && u.invocation != "" && q.signed.Signs(invocationHeader):
		return nil // a copy has the same invocation: the service has its answer, for longer than its date is good
	}
	if u.floor, err = d.clocks.floor(ctx, u.principal); err != nil {
		return err
	}
	if err := d.replays.check(u, now); err != nil {
		if u.signed.Before(d.replays.started) {
			rest(ctx, d.replays.started.Sub(now))
		}
		return err
	}
	if u.signed.After(now) {
		return d.clocks.keep(ctx, u.principal, u.signed)
	}
	return nil
}

// rest holds back a refusal until the second of the start is over, so that
// the next try, which is signed then, passes.
func rest(ctx context.Context, left time.Duration) {
	if left <= 0 {
		return
	}
	select {
	case <-time.After(min(left, time.Second)):
	case <-ctx.Done():
	}
}

// scope checks what the credential is for, and when it was used.
func (s *Server) scope(signed *sigv4.Signed, now time.Time) error {
	invalid := func(reason, format string, args ...any) error {
		return &failure{status: http.StatusForbidden, code: sigv4.CodeInvalid, message: fmt.Sprintf(format, args...), reason: reason}
	}
	switch {
	case signed.Service != serviceName:
		return invalid("service", "Credential should be scoped to correct service: '%s'%s.", serviceName, not(signed.Service))
	case signed.Region == "" && !s.EmptyRegion:
		return invalid("region", "Credential should be scoped to a valid region, but names none. This signer's region is '%s': set AWS_REGION (or the plugin's aws-region).", s.Region)
	case signed.Region != "" && signed.Region != s.Region:
		return invalid("region", "Credential should be scoped to a valid region%s. This signer's region is '%s'.", not(signed.Region), s.Region)
	}
	const skew = limits.APIClockSkew
	off := now.Sub(signed.Time)
	at, here := sigv4.TimeString(signed.Time), sigv4.TimeString(now)
	switch minutes := int(skew / time.Minute); {
	case off > skew:
		return invalid("date", "Signature expired: %s is now earlier than %s (%s - %d min.). The client's clock is %s behind the signer's, or the request was held up.",
			at, sigv4.TimeString(now.Add(-skew)), here, minutes, off.Round(time.Second))
	case off < -skew:
		return invalid("date", "Signature not yet current: %s is still later than %s (%s + %d min.). The client's clock is %s ahead of the signer's.",
			at, sigv4.TimeString(now.Add(skew)), here, minutes, (-off).Round(time.Second))
	}
	return nil
}

// not names what came in the place of a region or service, if it looks like
// one: else it may be anything, a secret too.
func not(name string) string {
	if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	return ", not '" + name + "'"
}

// unknownKey is the answer when a credential was not found; a store that is
// away is not the key's fault.
func unknownKey(id string, err error) error {
	var e *signing.Error
	if errors.As(err, &e) {
		switch e.Fault {
		case signing.FaultNotFound, signing.FaultAccessDenied, signing.FaultValidation:
			message := "The security token included in the request is invalid: "
			if signing.ValidAccessKeyID(id) {
				message += "this signer knows no access key '" + id + "', or it was disabled or has expired."
			} else { // the secret perhaps, in the wrong variable
				message += "what stands in the place of the access key id is none of this signer's (AKIA and 16 letters or digits)."
			}
			return &failure{status: http.StatusForbidden, code: codeUnknownClient, reason: "access key", err: err, message: message}
		}
	}
	return err
}

const invocationHeader = "Amz-Sdk-Invocation-Id"

// invocationID is the SDK's, when it is one; it need not be signed.
func invocationID(r *http.Request) string {
	values := r.Header.Values(invocationHeader)
	if len(values) != 1 || len(values[0]) > limits.APIInvocationID {
		return ""
	}
	for _, c := range []byte(values[0]) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return values[0]
}
