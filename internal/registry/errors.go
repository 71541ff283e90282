package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"unicode"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// credentialError marks that a credential could not be had.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return "find the registry credential: " + e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// shownError is an error whose text may hold words of a registry or a token
// server.
type shownError struct{ err error }

func (e shownError) Error() string { return printableUpTo(e.err.Error(), 2000) }
func (e shownError) Unwrap() error { return e.err }

const hintRealm = "the registry sends for its token to an internal address under another name than its own, which could be anybody's; let registry and token server have one host name"

// errSignaturesTime is the end of limits.SignaturesTime. It is a limit and no
// timeout of the registry: whoever may push chooses how much there is to list
// and fetch, and must not turn "not signed" into "could not be checked".
var errSignaturesTime = fmt.Errorf("listing and fetching the signatures took more than %v together (limit SignaturesTime)", limits.SignaturesTime)

const hintSignaturesTime = "the registry is too slow for what it holds of this artifact: try again, or remove what does not belong there"

const hintLogin = "log in to the registry first, or give a user name and a password"

// codeOfStatus is the stable code of a failure status.
func codeOfStatus(status int) shuin.Code {
	switch {
	case status == http.StatusUnauthorized:
		return shuin.CodeUnauthorized
	case status == http.StatusForbidden:
		return shuin.CodeForbidden
	case status == http.StatusNotFound:
		return shuin.CodeNotFound
	case status == http.StatusTooManyRequests:
		return shuin.CodeThrottled
	case status >= 500, status == http.StatusRequestTimeout:
		return shuin.CodeUnavailable
	}
	return shuin.CodeMalformed
}

func hintOfCode(c shuin.Code) string {
	switch c {
	case shuin.CodeUnauthorized:
		return hintLogin
	case shuin.CodeForbidden:
		return "the credential is known to the registry but may not do this; use one that may"
	case shuin.CodeNotFound:
		return "check the registry, the repository and the tag or digest"
	case shuin.CodeThrottled:
		return "the registry limits requests; wait, or log in if it allows more to known users"
	}
	return ""
}

// statusError makes an error of an answer that is no success.
func statusError(op string, a *answer) error {
	code := codeOfStatus(a.status)
	resp := &errcode.ErrorResponse{Method: a.method, URL: shown(a.url), StatusCode: a.status, Errors: parseErrors(a.body)}
	hint := hintOfCode(code)
	if h := hintOfWords(resp.Errors); h != "" {
		hint = h
	}
	return &shuin.Error{Code: code, Message: op, Hint: hint, Err: resp}
}

// hintOfWords tells apart refusals that share a status, by the words that
// registries are known to use (ECR's are AWS's: a missing permission, a token
// that is over, a key of KMS). The words choose a hint, nothing else.
func hintOfWords(errs errcode.Errors) string {
	for _, e := range errs {
		lower := strings.ToLower(e.Message)
		_, action, found := strings.Cut(e.Message, "is not authorized to perform: ")
		switch {
		case strings.Contains(lower, "authorization token has expired"), strings.Contains(lower, "authorization token is invalid"):
			return "the registry's token is over: log in again, or leave the login out where AWS credentials are at hand"
		case strings.Contains(lower, "kms"):
			return "the repository is encrypted with a key of AWS KMS: allow its use (kms:Decrypt) to these credentials"
		case found:
			action, _, _ = strings.Cut(action, " ")
			return "allow " + action + " to these credentials; for a repository of another account its repository policy has to allow it too"
		case e.Code == "NAME_UNKNOWN" || e.Code == "RepositoryNotFoundException":
			return "there is no such repository: check registry, region and repository name, or create it"
		}
	}
	return ""
}

// parseErrors reads the error body of the OCI distribution specification
// ("Error Codes"). What is not one is not shown: it may be a page of HTML.
func parseErrors(body []byte) errcode.Errors {
	var b struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if decode(body, &b) != nil {
		return nil
	}
	var errs errcode.Errors
	for _, e := range b.Errors[:min(len(b.Errors), 4)] {
		errs = append(errs, errcode.Error{Code: printable(e.Code), Message: printable(e.Message)})
	}
	return errs
}

// printable keeps what a terminal can show of a registry's text, and not too
// much of it.
func printable(s string) string { return printableUpTo(s, 300) }

func printableUpTo(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if r := []rune(s); len(r) > max {
		return string(r[:max]) + "…"
	}
	return s
}

// shown is an address as it may appear in an error.
func shown(u *url.URL) *url.URL {
	v, err := url.Parse(maskURL(u))
	if err != nil {
		return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	}
	return v
}

// requestError gives a failed request its code. ctx is the caller's: only its
// end is the caller's deadline.
func requestError(ctx context.Context, op, host string, err error) error {
	var already *shuin.Error
	var status *errcode.ErrorResponse
	var cred *credentialError
	var uerr *url.Error
	fail := func(code shuin.Code, hint string, err error) error {
		return &shuin.Error{Code: code, Message: op, Hint: hint, Err: shownError{err}}
	}
	if errors.As(err, &uerr) {
		if u, perr := url.Parse(uerr.URL); perr == nil && err == error(uerr) {
			err = &url.Error{Op: uerr.Op, URL: maskURL(u), Err: uerr.Err}
		}
	}
	switch {
	case errors.Is(context.Cause(ctx), errSignaturesTime):
		return fail(shuin.CodeLimit, hintSignaturesTime, errSignaturesTime)
	case ctx.Err() != nil:
		return fail(shuin.CodeDeadline, "", err)
	case errors.As(err, &cred) && !errors.As(cred.err, &already):
		return fail(shuin.CodeUnauthorized, "the credential store of "+host+" did not answer; "+hintLogin, err)
	case errors.As(err, &already):
		return fail(already.Code, already.Hint, err)
	case errors.As(err, &status):
		code := codeOfStatus(status.StatusCode)
		return fail(code, hintOfCode(code), err)
	case errors.Is(err, auth.ErrBasicCredentialNotFound), strings.Contains(err.Error(), "missing username or password"):
		return fail(shuin.CodeUnauthorized, hintLogin, err)
	case strings.Contains(err.Error(), "bearer realm host"): // it did answer 401
		return fail(shuin.CodeUnauthorized, hintRealm, err)
	case errors.Is(err, errRedirect):
		return fail(shuin.CodeMalformed, "", err)
	case headerTooLarge(err):
		return fail(shuin.CodeLimit, "", fmt.Errorf("the answer's header is larger than %d bytes (limit RegistryHeaderBytes): %w", limits.RegistryHeaderBytes, err))
	case errors.Is(err, context.DeadlineExceeded):
		return fail(shuin.CodeUnavailable, "", fmt.Errorf("no whole answer within %v (limit RegistryRequestTime): %w", limits.RegistryRequestTime, err))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fail(shuin.CodeUnavailable, "the registry speaks plain HTTP; allow it with --insecure-registry if you mean it", err)
	case unreachable(err):
		return fail(shuin.CodeUnavailable, "", err)
	}
	// What is left is an answer, or an authentication flow, that breaks its
	// specification.
	return fail(shuin.CodeMalformed, "", err)
}

// unreachable reports whether err is a connection that failed: no answer, or
// one that was cut. All else that goes wrong with an answer is its fault, and
// must not become "could not be checked".
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var number syscall.Errno
	var proxy *proxyError
	var uerr *url.Error
	var cut *cutError
	switch {
	case errors.As(err, &op), errors.As(err, &dns), errors.As(err, &number), errors.As(err, &proxy), errors.Is(err, net.ErrClosed):
		return true
	case errors.As(err, &cut), errors.As(err, &uerr):
		// An end of JSON that came whole is no end of a connection.
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return true
		}
	}
	return links(err, timedOut) || links(err, tlsFailed) || links(err, http2Failed)
}

// links reports whether is holds for an error in err's chain.
func links(err error, is func(error) bool) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if is(err) {
			return true
		}
	}
	return false
}

func timedOut(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// tlsFailed: a handshake that came to nothing is no answer. Many of its errors
// have no type; none of these words come from the other side.
func tlsFailed(err error) bool {
	switch err.(type) {
	case tls.RecordHeaderError, *tls.CertificateVerificationError, tls.AlertError,
		x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError:
		return true
	}
	return strings.HasPrefix(err.Error(), "tls: ") || strings.HasPrefix(err.Error(), "x509: ")
}

// http2Failed is how HTTP/2 says that a connection or stream was ended. The
// types are not exported.
func http2Failed(err error) bool {
	s := err.Error()
	return strings.HasPrefix(s, "http2: server sent GOAWAY") || strings.HasPrefix(s, "http2: client conn") ||
		strings.HasPrefix(s, "http2: Transport received Server's graceful shutdown GOAWAY") ||
		strings.HasPrefix(s, "stream error: ") && !strings.Contains(s, "PROTOCOL_ERROR") && !strings.Contains(s, "COMPRESSION_ERROR") && !strings.Contains(s, "FRAME_SIZE_ERROR")
}

// headerTooLarge: the error has no type.
func headerTooLarge(err error) bool {
	return links(err, func(err error) bool {
		return strings.HasPrefix(err.Error(), "net/http: server response headers exceeded") ||
			strings.HasPrefix(err.Error(), "http2: response header list larger")
	})
}

// malformed is an answer that breaks its specification.
func malformed(op, format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeMalformed, Message: op, Err: fmt.Errorf(format, args...)}
}

// unreadable is an answer that could not be decoded: it breaks its
// specification, or a bound.
func unreadable(op string, err error) error {
	if shuin.CodeOf(err) == shuin.CodeLimit {
		return &shuin.Error{Code: shuin.CodeLimit, Message: op, Err: err}
	}
	return malformed(op, "%w", err)
}

// exceeded is a bound that was hit; name is its name in internal/limits.
func exceeded(op, name, format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: op, Err: fmt.Errorf(format+" (limit "+name+")", args...)}
}
