package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
	return &shuin.Error{Code: code, Message: op, Hint: hintOfCode(code), Err: resp}
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
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
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
		return &shuin.Error{Code: code, Message: op, Hint: hint, Err: err}
	}
	if errors.As(err, &uerr) {
		if u, perr := url.Parse(uerr.URL); perr == nil && err == error(uerr) {
			err = &url.Error{Op: uerr.Op, URL: maskURL(u), Err: uerr.Err}
		}
	}
	switch {
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
	case errors.Is(err, errRedirect):
		return fail(shuin.CodeMalformed, "", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(shuin.CodeUnavailable, "", fmt.Errorf("no whole answer within %v (limit RegistryRequestTime): %w", limits.RegistryRequestTime, err))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fail(shuin.CodeUnavailable, "the registry speaks plain HTTP; allow it with --insecure-registry if you mean it", err)
	case uerr != nil, strings.HasPrefix(err.Error(), "read the answer"):
		return fail(shuin.CodeUnavailable, "", err)
	}
	// What is left is an authentication flow that breaks its specification.
	return fail(shuin.CodeMalformed, "", err)
}

// malformed is an answer that breaks its specification.
func malformed(op, format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeMalformed, Message: op, Err: fmt.Errorf(format, args...)}
}

// exceeded is a bound that was hit; name is its name in internal/limits.
func exceeded(op, name, format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: op, Err: fmt.Errorf(format+" (limit "+name+")", args...)}
}
