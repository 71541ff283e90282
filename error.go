package shuin

import "errors"

// Code is the stable name of a reason. Codes are part of the interface: they
// appear in JSON and in metrics, and are never renamed.
type Code string

// The codes. Each failure of a verification has exactly one.
const (
	// CodeUnsigned: the artifact has no signature at all.
	CodeUnsigned Code = "unsigned"
	// CodeUntrusted: signed, but by nobody the policy trusts.
	CodeUntrusted Code = "untrusted"
	// CodeExpired: the signature or a certificate is past its end (or before its beginning).
	CodeExpired Code = "expired"
	// CodeRevoked: a certificate or signature was revoked.
	CodeRevoked Code = "revoked"
	// CodeTampered: the envelope does not hold together, or signs something else.
	CodeTampered Code = "tampered"
	// CodeTagMoved: the tag no longer names what was checked.
	CodeTagMoved Code = "tag-moved"
	// CodeNoPolicy: no trust policy statement applies to the repository.
	CodeNoPolicy Code = "no-applicable-policy"
	// CodeMetadataMismatch: a good signature lacks the user metadata asked for.
	CodeMetadataMismatch Code = "metadata-mismatch"
	// CodePluginFailed: a plugin is missing, too old, refused or misbehaved.
	CodePluginFailed Code = "plugin-failed"
	// CodeTooOld: the signature names a critical attribute this verifier does not know.
	CodeTooOld Code = "verifier-too-old"
	// CodeStageMissing: a required stage has no seal.
	CodeStageMissing Code = "stage-missing"
	// CodeSealTooOld: a seal is older than its stage's maxAge.
	CodeSealTooOld Code = "seal-too-old"
	// CodeTagRefused: the image is named by a tag alone, where the rule wants
	// a digest, or where nobody would pin it.
	CodeTagRefused Code = "tag-refused"
	// CodeNotAllowed: the rule lists the digests it allows, and this is none of them.
	CodeNotAllowed Code = "digest-not-allowed"
	// CodeNotInIndex: what runs is neither what the reference names nor one of its platforms.
	CodeNotInIndex Code = "digest-not-in-index"
	// CodeLimit: something exceeded a named bound.
	CodeLimit Code = "limit-exceeded"
	// CodeMalformed: an answer from a registry or another server that breaks its specification.
	CodeMalformed Code = "malformed-answer"
	// CodeInvalidInput: a flag, file or argument that cannot be used.
	CodeInvalidInput Code = "invalid-input"
	// CodeInternal: a fault of ours.
	CodeInternal Code = "internal-error"

	// The codes below mean "could not check": never bad, and never good.

	// CodeUnauthorized: the registry answered 401.
	CodeUnauthorized Code = "registry-unauthorized"
	// CodeForbidden: the registry answered 403.
	CodeForbidden Code = "registry-forbidden"
	// CodeNotFound: the registry answered 404 for the artifact itself.
	CodeNotFound Code = "registry-not-found"
	// CodeThrottled: the registry answered 429.
	CodeThrottled Code = "registry-throttled"
	// CodeUnavailable: the registry could not be reached, timed out or answered 5xx.
	CodeUnavailable Code = "registry-unavailable"
	// CodeRevocationUnavailable: revocation of an anchored chain could not be checked.
	CodeRevocationUnavailable Code = "revocation-unavailable"
	// CodeDeadline: the caller's deadline came first.
	CodeDeadline Code = "deadline-exceeded"
	// CodeNotBegun: nobody was asked: the caller's time was over before, or as
	// much as may be was under way.
	CodeNotBegun Code = "not-begun"
)

// Undecided reports whether c means "could not check" rather than "bad". The
// list is closed: a hit limit or a malformed answer is bad, or junk from a
// registry would bypass a gate that admits what it could not check.
func (c Code) Undecided() bool {
	switch c {
	case CodeUnauthorized, CodeForbidden, CodeNotFound, CodeThrottled,
		CodeUnavailable, CodeRevocationUnavailable, CodeDeadline, CodeNotBegun:
		return true
	}
	return false
}

// Error is the one error type at the borders: a stable code, one line of
// cause, one line of what to do.
type Error struct {
	Code    Code
	Message string // lower case, no period, says what was being done
	Hint    string // what to do about it; may be empty
	Err     error  // the cause; kept, never flattened to text
}

// Error is Message, followed by the cause's own text where it adds something.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	if e.Message == "" {
		return e.Err.Error()
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first [Error] in err's tree, or
// [CodeInternal] when there is none. It is empty for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return CodeInternal
}

// HintOf is the first non-empty hint in err's chain.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
