package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/policy"
)

// verdictError is a verification that did not succeed.
type verdictError struct {
	err       error
	undecided bool
}

func (e *verdictError) Error() string { return e.err.Error() }
func (e *verdictError) Unwrap() error { return e.err }

// failure is the one line that says why a Report is not Verified, and the one
// hint that goes with it. scope is the repository the policy was asked for.
func (a *app) failure(ctx context.Context, repo target, scope string, report *shuin.Report) error {
	code := shuin.CodeOf(report.Err)
	e := &shuin.Error{Code: code, Err: lineError{report.Err}, Message: "signature verification failed", Hint: a.hint(code, report.Err)}
	switch code {
	case shuin.CodeUnsigned:
		if of, ok, err := repo.SignatureOf(ctx, report.Artifact); ok && err == nil {
			of := report.Artifact.Name() + "@" + of.Digest.String()
			return &shuin.Error{Code: code,
				Message: fmt.Sprintf("signature verification failed: %s is itself a signature of %s", report.Artifact, of),
				Hint:    fmt.Sprintf("this is a signature of %s, verify that: %s verify %s", of, a.name, of)}
		}
		name := report.Artifact.String()
		if a.asNotation() { // which names a layout's artifact by the scope
			name = scope + "@" + report.Artifact.Digest().String()
		}
		e.Message += fmt.Sprintf(": no signature is associated with %q, make sure the artifact was signed successfully", name)
		e.Err = nil
	case shuin.CodeNoPolicy:
		e.Message += fmt.Sprintf(": artifact %q has no applicable oci trust policy statement. Trust policy applicability for a given artifact is determined by registryScopes. To create a trust policy, see: %s",
			scope+"@"+report.Artifact.Digest().String(), policy.Help)
		e.Err = nil
	default:
		var tag *tagError
		if code != shuin.CodeLimit && !errors.As(report.Err, &tag) && report.Result != shuin.Undecided && judged(report) {
			e.Message = fmt.Sprintf("signature verification failed for all the signatures associated with %s", report.Artifact)
			e.Err = nil
		}
	}
	return e
}

// judged reports whether the reason lies in the signatures, each of which
// then was given its own.
func judged(report *shuin.Report) bool {
	for _, sig := range report.Signatures {
		if sig.Err != nil {
			return true
		}
	}
	return false
}

// hint is what to do about code: the error's own where it has one.
func (a *app) hint(code shuin.Code, err error) string {
	if h := shuin.HintOf(err); h != "" {
		return h
	}
	if h, ok := hints()[code]; ok {
		return a.help(h)
	}
	return ""
}

// hints are what to do about each reason; "{}" is the program's name.
func hints() map[shuin.Code]string {
	return map[shuin.Code]string{
		shuin.CodeUnsigned:              "sign it with \"{} sign\", or check that this is the digest you meant",
		shuin.CodeUntrusted:             "if the signer is to be trusted, add its root with \"{} cert add\" and name store and identity in the trust policy; \"{} inspect\" shows who signed",
		shuin.CodeExpired:               "sign again; a timestamp (--timestamp-url) keeps a signature good after its certificate ends",
		shuin.CodeRevoked:               "do not use this image; sign again with a certificate that is not revoked",
		shuin.CodeTampered:              "do not use this signature; find out who could write to the repository, and sign again",
		shuin.CodeNoPolicy:              "add the repository to registryScopes of a statement and import the policy with \"{} policy import\"",
		shuin.CodeMetadataMismatch:      "the image is signed, but without that metadata: \"{} inspect\" shows what was signed",
		shuin.CodePluginFailed:          "check that the verification plugin is installed and recent enough",
		shuin.CodeTooOld:                "the signature needs something this version does not know: upgrade",
		shuin.CodeLimit:                 "the repository holds more or larger signatures than are examined: remove what does not belong there, or raise --max-signatures",
		shuin.CodeMalformed:             "the registry's answer breaks the specification: tell its operator",
		shuin.CodeUnauthorized:          "log in with \"{} login\", or give --username and --password",
		shuin.CodeForbidden:             "the credentials are known but may not read this repository",
		shuin.CodeNotFound:              "check registry, repository and tag",
		shuin.CodeThrottled:             "try again later",
		shuin.CodeUnavailable:           "check the network and the registry, then try again",
		shuin.CodeRevocationUnavailable: "try again, or let the trust policy log revocation instead of enforcing it",
		shuin.CodeDeadline:              "try again with more time",
	}
}

// reportUnresolved is the answer where there is no artifact to report on: it
// could not be resolved, or there is no usable trust policy to ask.
func (a *app) reportUnresolved(format, reference string, err error) error {
	code := shuin.CodeOf(err)
	if format == "json" {
		if werr := writeJSON(a.stdout, unresolved(reference, code, err, a.hint(code, err))); werr != nil {
			return errors.Join(err, werr)
		}
	}
	return &verdictError{err: &shuin.Error{Code: code, Err: err, Hint: a.hint(code, err)}, undecided: code.Undecided()}
}
