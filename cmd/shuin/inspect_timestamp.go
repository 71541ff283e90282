package main

import "github.com/shuin/shuin/envelope"

// inspectTimestamp reads the token without trusting it; nil when there is none.
func inspectTimestamp(env *envelope.Envelope) *inspectedTimestamp {
	if env.TimestampToken == nil {
		return nil
	}
	ts, err := envelope.ParseTimestamp(env.TimestampToken, env.Signature, nil)
	if err != nil {
		return &inspectedTimestamp{err: err}
	}
	return &inspectedTimestamp{from: ts.Time.Add(-ts.Accuracy), to: ts.Time.Add(ts.Accuracy), chain: ts.Chain}
}
