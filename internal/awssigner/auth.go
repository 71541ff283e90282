package awssigner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// identify finds out who signed the request, or refuses it: another host,
// service or region, a date too far off, an unknown key, a wrong signature, a
// caller above its rate, a signature used before. It reads the body.
func (d *door) identify(ctx context.Context, w http.ResponseWriter, q *request) error {
	s := d.server
	if !s.serves(q.http.Host) {
		return &failure{status: http.StatusForbidden, code: sigv4.CodeInvalid, reason: "host",
			message: fmt.Sprintf("The request is for the host %s, but this signer is %s. Name it in the endpoint address.", echo(q.http.Host), strings.Join(s.Hosts(), ", "))}
	}
	signed, err := sigv4.Parse(q.http)
	if err != nil {
		return err
	}
	now := s.Now()
	if err := s.scope(signed, now); err != nil {
		return err
	}
	q.signed = signed
	caller, secret, err := s.Service.Authenticate(ctx, signed.AccessKeyID)
	if err != nil {
		return unknownKey(signed.AccessKeyID, err)
	}
	if q.body, err = readBody(w, q.http); err != nil {
		return err
	}
	if err := signed.Verify(q.http, q.body, secret); err != nil {
		return err
	}
	if signed.SessionToken != "" {
		return &failure{status: http.StatusForbidden, code: codeUnknownClient, reason: "session token",
			message: "The security token included in the request is invalid: this signer's access keys have no session token. Unset AWS_SESSION_TOKEN."}
	}
	sum := sha256.Sum256(q.body)
	caller.RequestID, caller.InvocationID, caller.BodySHA256 = q.id, invocationID(q.http), hex.EncodeToString(sum[:])
	q.caller = caller
	if !d.rates.allow(caller.Principal, now) {
		return &failure{status: http.StatusTooManyRequests, code: codeThrottled, reason: "rate", retry: true,
			message: fmt.Sprintf("Rate exceeded: a principal may make %v requests per second, %d at once.", d.rates.limit, d.rates.burst)}
	}
	return d.replays.check(use{signature: signed.Signature, signed: signed.Time, invocation: caller.InvocationID, repeat: q.op.repeat}, now)
}

// scope checks what the credential is for, and when it was used.
func (s *Server) scope(signed *sigv4.Signed, now time.Time) error {
	invalid := func(reason, format string, args ...any) error {
		return &failure{status: http.StatusForbidden, code: sigv4.CodeInvalid, message: fmt.Sprintf(format, args...), reason: reason}
	}
	switch {
	case signed.Service != serviceName:
		return invalid("service", "Credential should be scoped to correct service: '%s', not %s.", serviceName, echo(signed.Service))
	case signed.Region == "" && !s.EmptyRegion:
		return invalid("region", "Credential should be scoped to a valid region, but names none. This signer's region is '%s': set AWS_REGION (or the plugin's aws-region).", s.Region)
	case signed.Region != "" && signed.Region != s.Region:
		return invalid("region", "Credential should be scoped to a valid region, not %s. This signer's region is '%s'.", echo(signed.Region), s.Region)
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

// unknownKey is the answer when a credential was not found; a store that is
// away is not the key's fault.
func unknownKey(id string, err error) error {
	var e *signing.Error
	if errors.As(err, &e) {
		switch e.Fault {
		case signing.FaultNotFound, signing.FaultAccessDenied, signing.FaultValidation:
			return &failure{status: http.StatusForbidden, code: codeUnknownClient, reason: "access key", err: err,
				message: "The security token included in the request is invalid: this signer knows no access key " + echo(id) + ", or it was disabled or has expired."}
		}
	}
	return err
}

// invocationID is the SDK's, when it is one; it need not be signed.
func invocationID(r *http.Request) string {
	values := r.Header.Values("Amz-Sdk-Invocation-Id")
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
