package main

import "github.com/shuin/shuin"

// unresolvedReport is the Report of a reference that was not resolved:
// the same fields, without what only a resolved artifact has.
type unresolvedReport struct {
	MediaType string `json:"mediaType"`
	Artifact  struct {
		Reference string `json:"reference"`
	} `json:"artifact"`
	Result shuin.Result `json:"result"`
	Reason struct {
		Code    shuin.Code `json:"code"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	} `json:"reason"`
	Signatures []shuin.SignatureReport `json:"signatures"`
}

func unresolved(reference string, code shuin.Code, err error, hint string) unresolvedReport {
	r := unresolvedReport{MediaType: shuin.MediaTypeReport, Result: shuin.NotVerified, Signatures: []shuin.SignatureReport{}}
	if code.Undecided() {
		r.Result = shuin.Undecided
	}
	r.Artifact.Reference = reference
	r.Reason.Code, r.Reason.Message, r.Reason.Hint = code, err.Error(), hint
	return r
}
