package main

import "github.com/shuin/shuin"

// unresolvedReport is the Report of a reference that was not resolved, or of a
// blob that was not read: the same fields, without what only a resolved
// artifact has.
type unresolvedReport struct {
	MediaType string `json:"mediaType"`
	Artifact  struct {
		Reference string `json:"reference"`
	} `json:"artifact"`
	Result     shuin.Result            `json:"result"`
	Reason     *reasonJSON             `json:"reason,omitempty"` // nil: nothing was to be verified
	Policy     *shuin.PolicyUsed       `json:"policy,omitempty"`
	Signatures []shuin.SignatureReport `json:"signatures"`
}

func unresolved(reference string, code shuin.Code, err error, hint string) unresolvedReport {
	r := unresolvedReport{MediaType: shuin.MediaTypeReport, Result: shuin.NotVerified, Signatures: []shuin.SignatureReport{}}
	if code.Undecided() {
		r.Result = shuin.Undecided
	}
	r.Artifact.Reference = reference
	r.Reason = &reasonJSON{code, err.Error(), hint}
	return r
}

// reasonJSON is a reason as a Report writes it.
type reasonJSON struct {
	Code    shuin.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// unreadBlob is the Report of a blob that was not read: nothing was to be verified,
// or its signature already is bad.
func unreadBlob(path string, report *shuin.Report) unresolvedReport {
	r := unresolvedReport{MediaType: shuin.MediaTypeReport, Result: report.Result, Policy: report.Policy, Signatures: report.Signatures}
	r.Artifact.Reference = path
	if r.Signatures == nil {
		r.Signatures = []shuin.SignatureReport{}
	}
	if report.Err != nil {
		r.Reason = &reasonJSON{shuin.CodeOf(report.Err), report.Err.Error(), shuin.HintOf(report.Err)}
	}
	return r
}
