package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/shuin/shuin/envelope"
)

// inspectTimestamp reads the token without trusting its chain; nil when there
// is none.
func inspectTimestamp(env *envelope.Envelope) *inspectedTimestamp {
	if env.TimestampToken == nil {
		return nil
	}
	ts, err := envelope.ParseTimestamp(env.TimestampToken, env.Signature, nil)
	if err != nil {
		if e, ok := errors.AsType[*envelope.Error](err); ok && e.Err != nil {
			err = e.Err // notation shows the cause alone
		}
		return &inspectedTimestamp{err: err}
	}
	// Notation shows the certificates in the order that the token has them.
	slices.SortStableFunc(ts.Chain, func(a, b *x509.Certificate) int {
		return bytes.Index(env.TimestampToken, a.Raw) - bytes.Index(env.TimestampToken, b.Raw)
	})
	return &inspectedTimestamp{from: ts.Time.Add(-ts.Accuracy), to: ts.Time.Add(ts.Accuracy), chain: ts.Chain}
}
