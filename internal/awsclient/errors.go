package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// ServiceError is a refusal or failure that AWS, or a signer that speaks its
// API, answered with. Its text is passed through whole.
type ServiceError struct {
	Service   string // AWS Signer, ECR
	Operation string // SignPayload, …
	Code      string // AccessDeniedException, …
	Message   string // the service's own words; may be empty
	Status    int    // of HTTP
	RequestID string
}

func (e *ServiceError) Error() string {
	s := fmt.Sprintf("%s answers %s with %s", e.Service, e.Operation, e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	s += fmt.Sprintf(" (HTTP %d", e.Status)
	if e.RequestID != "" {
		s += ", request id " + e.RequestID
	}
	return s + ")"
}

// credentialCodes are AWS's codes for credentials that are not accepted,
// whatever the status.
var credentialCodes = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "InvalidClientTokenId": true, "InvalidSignatureException": true,
	"SignatureDoesNotMatch": true, "UnrecognizedClientException": true, "MissingAuthenticationToken": true,
	"MissingAuthenticationTokenException": true, "IncompleteSignature": true, "IncompleteSignatureException": true,
	"RequestExpired": true, "AuthFailure": true, "NotAuthorized": true,
}

// code is the stable code of e.
func (e *ServiceError) code() shuin.Code {
	switch {
	case credentialCodes[e.Code], e.Status == http.StatusUnauthorized:
		return shuin.CodeUnauthorized
	case e.Status == http.StatusForbidden, e.Code == "AccessDeniedException", e.Code == "AccessDenied":
		return shuin.CodeForbidden
	case e.Status == http.StatusTooManyRequests, strings.HasPrefix(e.Code, "Throttling"), strings.HasPrefix(e.Code, "TooManyRequests"):
		return shuin.CodeThrottled
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return shuin.CodeUnavailable
	case e.Status == http.StatusNotFound, e.Service == ecsTitle && e.absent():
		return shuin.CodeNotFound
	}
	return shuin.CodeInvalidInput
}

// hint is what to do about it; action is the IAM action that the operation
// needs, resource what it needs it on.
func (e *ServiceError) hint(action, resource string) string {
	switch e.code() {
	case shuin.CodeUnauthorized:
		if e.Code == "InvalidSignatureException" || e.Code == "SignatureDoesNotMatch" {
			return "go by the service's own words above, where it has some; else the secret key is wrong, the request was signed for another region or host than it reached (check region and endpoint), or the clock of this machine is wrong"
		}
		return "the AWS credentials are not accepted: they may have expired, be those of another account or partition, or the clock of this machine may be wrong"
	case shuin.CodeForbidden:
		return fmt.Sprintf("allow %s on %s to these credentials; \"shuin aws iam-policy\" prints the least that is needed", action, resource)
	case shuin.CodeThrottled:
		return "the service limits requests; try again later"
	case shuin.CodeUnavailable:
		return "try again; if it goes on, give the request id to whoever runs the service"
	case shuin.CodeNotFound:
		return "check name, account and region: a profile is found only in its own region"
	}
	return ""
}

// call is what an error is about.
type call struct {
	operation string
	action    string // IAM's; empty: signer: and the operation
	resource  string // ARN, or "*"
}

// failed gives the error of a call to AWS Signer its code and hint. ctx is the
// caller's: only its end is the caller's deadline.
func failed(ctx context.Context, q call, err error) error {
	if err == nil {
		return nil
	}
	if q.action == "" {
		q.action = "signer:" + q.operation
	}
	if q.resource == "" {
		q.resource = "*"
	}
	fail := func(code shuin.Code, hint string, err error) error {
		return &shuin.Error{Code: code, Message: "ask AWS Signer (" + q.operation + ")", Hint: hint, Err: passed(err)}
	}
	var already *shuin.Error
	switch {
	case errors.As(err, &already):
		return err
	case ctx.Err() != nil:
		return fail(shuin.CodeDeadline, "", err)
	case errors.Is(err, errTooLong):
		return fail(shuin.CodeLimit, "", errTooLong)
	}
	if e, ok := isForeign(err); ok {
		return fail(shuin.CodeMalformed, "something else answers in the signer's place: check the endpoint, and what stands before it", e)
	}
	if e := serviceError(q.operation, err); e != nil {
		return &shuin.Error{Code: e.code(), Hint: e.hint(q.action, q.resource), Err: e}
	}
	var decoding *smithy.DeserializationError
	var cut *cutError
	switch {
	case errors.As(err, &cut):
		return fail(shuin.CodeUnavailable, unreachableHint(err), cut)
	case errors.As(err, &decoding):
		return fail(shuin.CodeMalformed, "", decoding.Err)
	case !wasSent(err):
		return fail(shuin.CodeInvalidInput, "check the AWS settings: region, endpoint, FIPS and dual-stack", cause(err))
	}
	return fail(shuin.CodeUnavailable, unreachableHint(err), cause(err))
}

// wasSent: something went wrong on the way, not before.
func wasSent(err error) bool {
	var send *smithyhttp.RequestSendError
	var network net.Error
	return errors.As(err, &send) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}

// serviceError reads what the service answered, nil where it did not answer.
func serviceError(operation string, err error) *ServiceError {
	e := &ServiceError{Service: "AWS Signer", Operation: operation}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		e.Status = resp.HTTPStatusCode()
	}
	var awsResp *awshttp.ResponseError
	if errors.As(err, &awsResp) {
		e.RequestID = printable(awsResp.ServiceRequestID(), 100)
	}
	var api smithy.APIError
	switch {
	case errors.As(err, &api):
		e.Code, e.Message = printable(api.ErrorCode(), 200), printable(api.ErrorMessage(), limits.AWSErrorRunes)
		// The SDK's words for an answer whose code it could not read.
		if e.Code == "UnknownError" || e.Code == "" {
			e.Code, e.Message = "no error code", ""
		}
	case e.Status >= 300:
		e.Code = "no error code"
	default:
		return nil
	}
	return e
}

// cause is the innermost error that says what went wrong on the way.
func cause(err error) error {
	var at *url.Error
	if errors.As(err, &at) && at.Err != nil { // whose text has the whole query
		if u, bad := url.Parse(at.URL); bad == nil {
			return fmt.Errorf("%s: %w", u.Host, at.Err)
		}
		return at.Err
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) && send.Err != nil {
		return send.Err
	}
	var operation *smithy.OperationError
	if errors.As(err, &operation) && operation.Err != nil {
		return operation.Err
	}
	return err
}

func unreachableHint(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Sprintf("the name %s does not resolve: check region and endpoint", printable(dns.Name, 253))
	}
	return "check the network and the endpoint"
}

// passedError is an error whose text may hold words from outside.
type passedError struct{ err error }

func (e passedError) Error() string {
	return printable(withoutQueries(e.err.Error()), limits.AWSErrorRunes)
}
func (e passedError) Unwrap() error { return e.err }

func passed(err error) error { return passedError{err} }

// withoutQueries is s with the queries of addresses left out: they may be
// long, and hold what is not for a log.
func withoutQueries(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			return b.String() + s
		}
		end := i + len("://")
		if n := strings.IndexAny(s[end:], " \t\r\n\"'<>"); n >= 0 {
			end += n
		} else {
			end = len(s)
		}
		address, _, _ := strings.Cut(s[i:end], "?")
		b.WriteString(s[:i] + address)
		s = s[end:]
	}
}

// printable keeps what a terminal can show, and not too much of it.
func printable(s string, max int) string {
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
