package awscall

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// ServiceError is a refusal or failure that AWS, or something that speaks its
// API, answered with. Its text is passed through whole.
type ServiceError struct {
	Service   string // AWS Signer, Amazon ECR
	Operation string // SignPayload, …
	Code      string // AccessDeniedException, …
	Message   string // the service's own words; may be empty
	Status    int    // of HTTP
	RequestID string
	// Body is the answer as it came, for the few errors that have more to say;
	// nil from the SDK's clients.
	Body []byte

	absent bool // there is no such thing, though the status is not 404
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
	"RequestExpired": true, "AuthFailure": true, "NotAuthorized": true, "InvalidAccessKeyId": true, "InvalidToken": true,
}

// throttlingCodes are AWS's codes for too many requests that come with another
// status than 429 and do not begin as most do.
var throttlingCodes = map[string]bool{
	"ProvisionedThroughputExceededException": true, "RequestLimitExceeded": true, "RequestThrottled": true,
	"RequestThrottledException": true, "SlowDown": true, "PriorRequestNotComplete": true, "BandwidthLimitExceeded": true,
}

// Means is the stable code of e.
func (e *ServiceError) Means() shuin.Code {
	switch {
	case credentialCodes[e.Code], e.Status == http.StatusUnauthorized:
		return shuin.CodeUnauthorized
	case throttlingCodes[e.Code]:
		return shuin.CodeThrottled
	case e.Status == http.StatusForbidden, e.Code == "AccessDeniedException", e.Code == "AccessDenied":
		return shuin.CodeForbidden
	case e.Status == http.StatusTooManyRequests, strings.HasPrefix(e.Code, "Throttling"), strings.HasPrefix(e.Code, "TooManyRequests"):
		return shuin.CodeThrottled
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		return shuin.CodeUnavailable
	case e.Status == http.StatusNotFound, e.absent:
		return shuin.CodeNotFound
	}
	return shuin.CodeInvalidInput
}

// Hint is what to do about it; action is the IAM action that the operation
// needs, resource what it needs it on.
func (e *ServiceError) Hint(action, resource string) string {
	switch e.Means() {
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

// without is s without the credentials that signed the request: AWS says of a
// signature that is wrong what should have been signed, the session's token
// included.
func without(creds aws.Credentials, s string) string {
	for _, secret := range []string{creds.SessionToken, creds.SecretAccessKey} {
		if len(secret) < 8 { // none that is real
			continue
		}
		for _, written := range []string{secret, strings.ReplaceAll(secret, "/", `\/`), url.QueryEscape(secret)} {
			s = strings.ReplaceAll(s, written, "(left out)")
		}
	}
	return s
}

// refusal reads an error answer to a request that was signed by creds.
func (q Call) refusal(resp *http.Response, data []byte, creds aws.Credentials) error {
	e := &ServiceError{Service: q.Title, Operation: q.Operation(), Status: resp.StatusCode, Body: []byte(without(creds, string(data)))}
	requestID := resp.Header.Get("x-amzn-RequestId")
	if requestID == "" {
		requestID = resp.Header.Get("x-amz-request-id")
	}
	var code, message string
	if q.Protocol == Query || q.Protocol == REST && bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		var id string
		if code, message, id = xmlError(data); requestID == "" {
			requestID = id
		}
	} else {
		code, message = jsonError(resp.Header, data)
	}
	if code == "" {
		code = "no error code"
	}
	code, message = without(creds, code), without(creds, message)
	e.Code, e.Message, e.RequestID = Printable(code, 200), Printable(message, limits.AWSErrorRunes), Printable(requestID, 100)
	e.absent = q.Absent != nil && q.Absent(e)
	return e
}

// jsonError reads the code and the words of an error that is JSON, or none.
func jsonError(header http.Header, data []byte) (code, message string) {
	var body struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	_ = json.Unmarshal(data, &body, json.RejectUnknownMembers(false), jsontext.AllowDuplicateNames(true)) // what is no JSON has no code
	if code = header.Get("x-amzn-ErrorType"); code == "" {
		code = body.Type
	}
	code, _, _ = strings.Cut(code, ":")
	if _, after, ok := strings.Cut(code, "#"); ok {
		code = after
	}
	if body.Message == "" {
		return code, body.Upper
	}
	return code, body.Message
}

// xmlError reads the first code, words and request id of an error that is XML:
// <ErrorResponse><Error><Code/><Message/></Error><RequestId/></ErrorResponse>
// of query services, <Error><Code/><Message/><RequestId/></Error> of S3. What
// is no XML has none.
func xmlError(data []byte) (code, message, requestID string) {
	d := xml.NewDecoder(bytes.NewReader(data))
	var into *string
	for {
		token, err := d.Token()
		if err != nil {
			return code, message, requestID
		}
		switch t := token.(type) {
		case xml.StartElement:
			into = map[string]*string{"Code": &code, "Message": &message, "RequestId": &requestID, "RequestID": &requestID}[t.Name.Local]
			if into != nil && *into != "" {
				into = nil // the first counts
			}
		case xml.CharData:
			if into != nil {
				*into += string(t)
			}
		case xml.EndElement:
			into = nil
		}
	}
}

// failed gives the error of a call its code and hint. ctx is the caller's:
// only its end is the caller's deadline.
func (q Call) failed(ctx context.Context, err error) error {
	var already *shuin.Error
	var service *ServiceError
	switch {
	case errors.As(err, &already):
		return err
	case ctx.Err() != nil:
		return &shuin.Error{Code: shuin.CodeDeadline, Message: q.Doing, Err: context.Cause(ctx)}
	case errors.As(err, &service):
		hint := service.Hint(q.Action, q.Resource)
		if service.Means() == shuin.CodeNotFound && q.NotFound != "" {
			hint = q.NotFound
		}
		return &shuin.Error{Code: service.Means(), Message: q.Doing, Hint: hint, Err: service}
	case TooLong(err) != nil:
		return &shuin.Error{Code: shuin.CodeLimit, Message: q.Doing, Err: TooLong(err)}
	}
	return &shuin.Error{Code: shuin.CodeUnavailable, Message: q.Doing, Hint: UnreachableHint(err), Err: fmt.Errorf("%w", Passed(err))}
}

// passing: another try may succeed.
func passing(err error) bool {
	var service *ServiceError
	if errors.As(err, &service) {
		code := service.Means()
		return code == shuin.CodeThrottled || code == shuin.CodeUnavailable
	}
	var known *shuin.Error
	return !errors.As(err, &known) && TooLong(err) == nil && !Nameless(err)
}

// Nameless: the host's name does not exist.
func Nameless(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// SDKError reads what a service answered a client of the SDK, nil where it did
// not answer. The session token that the request was sent with, and the
// credentials given, are left out of its text.
func SDKError(service, operation string, err error, by ...aws.Credentials) *ServiceError {
	e := &ServiceError{Service: service, Operation: operation}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		e.Status = resp.HTTPStatusCode()
		if sent := resp.Response.Request; sent != nil {
			by = append(by, aws.Credentials{SessionToken: sent.Header.Get("X-Amz-Security-Token")})
		}
	}
	var awsResp *awshttp.ResponseError
	if errors.As(err, &awsResp) {
		e.RequestID = Printable(awsResp.ServiceRequestID(), 100)
	}
	var api smithy.APIError
	switch {
	case errors.As(err, &api):
		message := api.ErrorMessage()
		for _, creds := range by {
			message = without(creds, message)
		}
		e.Code, e.Message = Printable(api.ErrorCode(), 200), Printable(message, limits.AWSErrorRunes)
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

// Cause is the innermost error of the SDK's that says what went wrong on the way.
func Cause(err error) error {
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

// UnreachableHint is what to do where nothing answered.
func UnreachableHint(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Sprintf("the name %s does not resolve: check region and endpoint", Printable(dns.Name, 253))
	}
	return "check the network and the endpoint"
}

// passedError is an error whose text may hold words from outside.
type passedError struct{ err error }

func (e passedError) Error() string {
	return Printable(withoutQueries(e.err.Error()), limits.AWSErrorRunes)
}
func (e passedError) Unwrap() error { return e.err }

// Passed is err with a text that can be shown: printable, not too long, and
// without the queries of addresses.
func Passed(err error) error { return passedError{err} }

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

// Printable keeps of s what a terminal can show, and no more than max runes.
func Printable(s string, max int) string {
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
