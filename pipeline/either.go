package pipeline

import (
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
)

// ParseEither reads a pipeline policy, or a Notary trust policy in its place,
// known by its trustPolicies. What also has a pipeline policy's apiVersion is
// left to Parse, which refuses it.
func ParseEither(data []byte) (*Policy, error) {
	if !IsTrustPolicy(data) {
		return Parse(data)
	}
	doc, err := policy.ParseOCI(data)
	if err != nil {
		return nil, err
	}
	return FromTrustPolicy(doc, data), nil
}

// IsTrustPolicy knows a Notary trust policy from a pipeline policy.
func IsTrustPolicy(data []byte) bool {
	docs, err := document.Read(data, document.Limits{Bytes: limits.PolicyBytes})
	return err == nil && len(docs) == 1 && docs[0].Field("trustPolicies") != nil && docs[0].Field("apiVersion") == nil
}
