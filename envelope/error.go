package envelope

import (
	"fmt"

	"github.com/shuin/shuin"
)

// Error says which rule an envelope, payload, chain or timestamp token broke.
type Error struct {
	// Row is the row of docs/conformance.md: "JWS-05".
	Row string
	// Code is CodeTampered unless the rule has a better one (CodeTooOld, CodeLimit …).
	Code shuin.Code
	Msg  string
	Err  error
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap exposes the shuin.Error that carries the code, then the cause.
func (e *Error) Unwrap() []error {
	coded := &shuin.Error{Code: e.Code, Message: e.Error()}
	if e.Err == nil {
		return []error{coded}
	}
	return []error{coded, e.Err}
}

// bad is a broken rule: the envelope does not hold together.
func bad(row, format string, args ...any) error {
	return &Error{Row: row, Code: shuin.CodeTampered, Msg: fmt.Sprintf(format, args...)}
}

// badCause is bad with a cause that another package gave.
func badCause(row string, err error, format string, args ...any) error {
	return &Error{Row: row, Code: shuin.CodeTampered, Msg: fmt.Sprintf(format, args...), Err: err}
}

// tooMuch is a bound that was hit.
func tooMuch(row, format string, args ...any) error {
	return &Error{Row: row, Code: shuin.CodeLimit, Msg: fmt.Sprintf(format, args...)}
}

// rows names, per envelope format, the rows of the rules that both have.
type rows struct {
	form, alg, algAllowed, contentType, crit, times, chain, timestamp, signature string
}

var (
	jwsRows = rows{form: "JWS-01", alg: "JWS-02", algAllowed: "JWS-03", contentType: "JWS-04", crit: "JWS-05",
		times: "JWS-06", chain: "JWS-07", timestamp: "JWS-08", signature: "JWS-09"}
	coseRows = rows{form: "COSE-01", alg: "COSE-02", algAllowed: "COSE-02", contentType: "COSE-04", crit: "COSE-03",
		times: "COSE-05", chain: "COSE-06", timestamp: "COSE-07", signature: "COSE-08"}
)
