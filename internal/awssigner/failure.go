package awssigner

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin/internal/sigv4"
	"github.com/shuin/shuin/signing"
)

// AWS's names of errors: those of the service model, and those that every
// REST-JSON service has.
const (
	codeValidation    = "ValidationException"
	codeAccessDenied  = "AccessDeniedException"
	codeNotFound      = "ResourceNotFoundException"
	codeConflict      = "ConflictException"
	codeLimit         = "ServiceLimitExceededException"
	codeThrottled     = "TooManyRequestsException"
	codeInternal      = "InternalServiceErrorException"
	codeTagNotFound   = "NotFoundException"
	codeTagBad        = "BadRequestException"
	codeUnknownOp     = "UnknownOperationException"
	codeUnknownClient = "UnrecognizedClientException"
	codeSerialization = "SerializationException"
	codeMediaType     = "UnsupportedMediaTypeException"
)

const internalText = "An internal error happened; the signer's log says more under this request's id."

// failure is a refusal as the wire has it. reason and err are for the log.
type failure struct {
	status        int
	code, message string
	allow         string // Allow header of a wrong method
	retry         bool   // Retry-After: one second
	reason        string
	err           error
}

func (f *failure) Error() string { return f.code + ": " + f.message }
func (f *failure) Unwrap() error { return f.err }

// failureOf finds what the wire says of err.
func failureOf(q *request, err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var signature *sigv4.Error
	if errors.As(err, &signature) {
		return &failure{status: http.StatusForbidden, code: signature.Code, message: signature.Message, reason: "signature"}
	}
	var e *signing.Error
	if !errors.As(err, &e) {
		return &failure{status: http.StatusInternalServerError, code: codeInternal, message: internalText, err: err}
	}
	f = faultFailure(q.op != nil && q.op.tags, e.Fault)
	f.message, f.err = e.Message, e.Err
	if f.message == "" {
		f.message = internalText
	}
	return f
}

// faultFailure is the code and status of a fault; the tag operations have
// names of their own for two.
func faultFailure(tags bool, fault signing.Fault) *failure {
	switch fault {
	case signing.FaultValidation:
		if tags {
			return &failure{status: http.StatusBadRequest, code: codeTagBad}
		}
		return &failure{status: http.StatusBadRequest, code: codeValidation}
	case signing.FaultNotFound:
		if tags {
			return &failure{status: http.StatusNotFound, code: codeTagNotFound}
		}
		return &failure{status: http.StatusNotFound, code: codeNotFound}
	case signing.FaultAccessDenied:
		return &failure{status: http.StatusForbidden, code: codeAccessDenied}
	case signing.FaultConflict:
		return &failure{status: http.StatusConflict, code: codeConflict}
	case signing.FaultLimit:
		return &failure{status: http.StatusPaymentRequired, code: codeLimit}
	case signing.FaultThrottled:
		return &failure{status: http.StatusTooManyRequests, code: codeThrottled, retry: true}
	case signing.FaultUnavailable:
		return &failure{status: http.StatusServiceUnavailable, code: codeInternal, retry: true}
	}
	return &failure{status: http.StatusInternalServerError, code: codeInternal}
}

// answer is what is sent.
type answer struct {
	status int
	body   []byte // nil: none
	failure
}

func answerOf(q *request, out any, err error) answer {
	if err == nil && out == nil {
		return answer{status: http.StatusOK}
	}
	if o, ok := out.(signPayloadOut); ok && err == nil {
		if body, ok := o.append(); ok {
			return answer{status: http.StatusOK, body: body}
		}
	}
	if err == nil {
		var body []byte
		if body, err = json.Marshal(out, json.Deterministic(true)); err == nil {
			return answer{status: http.StatusOK, body: body}
		}
	}
	f := failureOf(q, err)
	body, _ := json.Marshal(struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	}{strings.ToValidUTF8(f.message, "?"), f.code}) // two valid strings
	return answer{status: f.status, body: body, failure: *f}
}

func (a answer) write(w http.ResponseWriter, id string) {
	h := w.Header()
	h.Set("X-Amzn-Requestid", id)
	h.Set("Cache-Control", "no-store")
	if a.code != "" {
		h.Set("X-Amzn-Errortype", a.code)
	}
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.retry {
		h.Set("Retry-After", "1")
	}
	if a.body != nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// clip cuts s to n bytes, at a rune, and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
