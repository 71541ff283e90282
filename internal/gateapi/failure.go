package gateapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// The codes of the API's errors. Those that shuin has mean the same here.
const (
	codeInvalid         = string(shuin.CodeInvalidInput)
	codeLimit           = string(shuin.CodeLimit)
	codeInternal        = string(shuin.CodeInternal)
	codeUnauthenticated = "unauthenticated"
	codePlace           = "place-not-allowed"
	codeNoRoute         = "no-such-route"
	codeMethod          = "method-not-allowed"
	codeMediaType       = "unsupported-media-type"
	codeBodyTime        = "request-timeout"
	codeThrottled       = "too-many-requests"
	codeOverloaded      = "overloaded"
	codeRight           = "right-missing"
	codeStore           = "store-unavailable"
	codeFull            = "findings-full"
	codeStateFull       = "state-full"

	// Of claims: what watch.Store answers beside nil.
	codeDuplicate = "already-decided"
	codeOlder     = "newer-decided"
	codeBusy      = "claim-busy"
	codeLost      = "claim-lost"
)

// CodePlace is the code of a refusal for the place's sake.
const CodePlace = codePlace

// statuses are the HTTP statuses of the codes.
var statuses = map[string]int{
	codeInvalid:         http.StatusBadRequest,
	codeUnauthenticated: http.StatusUnauthorized,
	codePlace:           http.StatusForbidden,
	codeNoRoute:         http.StatusNotFound,
	codeMethod:          http.StatusMethodNotAllowed,
	codeBodyTime:        http.StatusRequestTimeout,
	codeLimit:           http.StatusRequestEntityTooLarge,
	codeMediaType:       http.StatusUnsupportedMediaType,
	codeThrottled:       http.StatusTooManyRequests,
	codeInternal:        http.StatusInternalServerError,
	codeOverloaded:      http.StatusServiceUnavailable,
	codeRight:           http.StatusForbidden,
	codeStore:           http.StatusServiceUnavailable,
	codeFull:            http.StatusInsufficientStorage,
	codeStateFull:       http.StatusInsufficientStorage,
	codeDuplicate:       http.StatusConflict,
	codeOlder:           http.StatusConflict,
	codeBusy:            http.StatusConflict,
	codeLost:            http.StatusConflict,
}

// Codes are the codes of all errors the API answers with.
func Codes() []string {
	out := make([]string, 0, len(statuses))
	for code := range statuses {
		out = append(out, code)
	}
	return out
}

// failure is a refusal as the wire has it. reason and err are for the log.
type failure struct {
	code, message, hint string
	allow               string // Allow header of a wrong method
	closes              bool   // the body was not read: the connection ends
	reason              string
	err                 error
}

func newFailure(code, message, hint string) *failure {
	return &failure{code: code, message: message, hint: hint}
}

func (f *failure) Error() string { return f.code + ": " + f.message }
func (f *failure) Unwrap() error { return f.err }

func (f *failure) status() int { return statuses[f.code] }

// errorBody is what is sent of it.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitzero"`
}

// answer is what is sent.
type answer struct {
	status    int
	mediaType string
	body      []byte
	etag      string // of what may be asked for again; empty: it is not kept
	failed    *failure
}

func failed(f *failure) answer {
	body, _ := json.Marshal(errorBody{f.code, strings.ToValidUTF8(f.message, "?"), strings.ToValidUTF8(f.hint, "?")}) // valid strings
	return answer{status: f.status(), mediaType: mediaTypeJSON, body: body, failed: f}
}

const mediaTypeJSON = "application/json"

func (a answer) write(w http.ResponseWriter, id string) {
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", a.mediaType)
	if f := a.failed; f != nil {
		switch f.code {
		case codeUnauthenticated:
			h.Set("WWW-Authenticate", `Bearer realm="shuin gate"`)
		case codeThrottled, codeOverloaded, codeStore:
			h.Set("Retry-After", "1")
		}
		if f.allow != "" {
			h.Set("Allow", f.allow)
		}
		if f.closes {
			h.Set("Connection", "close")
		}
	}
	if a.etag != "" {
		h.Set("ETag", a.etag)
		h.Set("Cache-Control", "private, no-cache")
	}
	if a.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// echo shows a wrong value: in quotes, cut, without what could steer a
// terminal.
func echo(s string) string {
	if len(s) > limits.GateAPIEchoBytes {
		s = strings.ToValidUTF8(s[:limits.GateAPIEchoBytes], "") + "…"
	}
	return strconv.QuoteToGraphic(s)
}
