package awssigner

import (
	"errors"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// decode reads the JSON body into a pointer to a struct of optional members.
// Members that the model does not name are ignored, as AWS does, or refused if
// closed is set. Names are case-sensitive and may not repeat.
func (q *request) decode(into any, closed bool) error {
	if len(q.body) == 0 {
		return nil // as an empty object: what is required is then missing
	}
	if err := contentType(q.http.Header); err != nil {
		return err
	}
	err := json.Unmarshal(q.body, into, json.RejectUnknownMembers(closed))
	if err == nil {
		return nil
	}
	// What an error of the decoder says may hold parts of the body.
	var where string
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return &failure{status: http.StatusBadRequest, code: codeValidation, reason: "unknown member",
			message: q.op.name + " has no member " + echo(pointer(semantic.JSONPointer)) + ". Nothing is signed for a request that is not wholly understood."}
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		where = "the member " + echo(pointer(syntax.JSONPointer)) + " occurs twice"
	case errors.As(err, &syntax):
		where = "malformed JSON at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		where = "the member " + echo(pointer(semantic.JSONPointer)) + " does not have the type that the service model gives it"
	default:
		where = "want a JSON object"
	}
	return &failure{status: http.StatusBadRequest, code: codeSerialization, message: "The request body could not be read: " + where + ".", reason: "body"}
}

// pointer writes a JSON pointer as the API's documentation writes members.
func pointer(p jsontext.Pointer) string {
	var parts []string
	for token := range p.Tokens() {
		parts = append(parts, token)
	}
	return strings.Join(parts, ".")
}

// contentType lets JSON pass, under the names that AWS's clients give it.
func contentType(h http.Header) error {
	bad := func(what, value string) error {
		return &failure{status: http.StatusUnsupportedMediaType, code: codeMediaType, message: "The request body must be JSON with the header Content-Type: application/json; " + what + " is " + echo(value) + ".", reason: "content type"}
	}
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return bad("Content-Encoding", e)
	}
	value := h.Get("Content-Type")
	if value == "" {
		return nil
	}
	t, params, err := mime.ParseMediaType(value)
	if charset := params["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return bad("Content-Type", value)
	}
	switch t {
	case "application/json", "application/x-amz-json-1.1", "application/x-amz-json-1.0":
		return nil
	}
	return bad("Content-Type", value)
}

// params reads members from the query string.
type params struct {
	q      *request
	values url.Values
}

// params of q; sigv4 has refused query strings that are not well-formed.
func (q *request) params() params {
	values, _ := url.ParseQuery(q.http.URL.RawQuery)
	return params{q, values}
}

// one is a member that may be given once; nil: it was not.
func (p params) one(name string) *string {
	values, ok := p.values[name]
	if !ok {
		return nil
	}
	if len(values) > 1 {
		p.q.add("", name, "Member must be given once")
	}
	return &values[0]
}

func (p params) text(name string, r rule) string { return p.q.text(name, p.one(name), r) }
func (p params) need(name string, r rule) string { return p.q.need(name, p.one(name), r) }

// flag is a boolean; nil when absent.
func (p params) flag(name string) *bool {
	s := p.one(name)
	if s == nil {
		return nil
	}
	b := *s == "true"
	if !b && *s != "false" {
		p.q.add(" "+echo(*s), name, "Member must be true or false")
	}
	return &b
}

// maxResults is 1 to 25; 0 when absent.
func (p params) maxResults() int {
	const name = "maxResults"
	s := p.one(name)
	if s == nil {
		return 0
	}
	n, err := strconv.ParseInt(*s, 10, 32)
	switch {
	case err != nil:
		p.q.add(" "+echo(*s), name, "Member must be an integer")
	case n < 1:
		p.q.add(" "+echo(*s), name, "Member must have value greater than or equal to 1")
	case n > maxResultsMost:
		p.q.add(" "+echo(*s), name, "Member must have value less than or equal to "+strconv.Itoa(maxResultsMost))
	default:
		return int(n)
	}
	return 0
}

// time is RFC 3339, as timestamps in queries are; zero when absent.
func (p params) time(name string, required bool) time.Time {
	s := p.one(name)
	if s == nil {
		if required {
			p.q.missing(name)
		}
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, *s)
	if err != nil || t.Year() < 1 || t.Year() > 9999 || t.IsZero() {
		p.q.add(" "+echo(*s), name, "Member must be a timestamp such as 2026-11-21T23:31:32Z")
		return time.Time{}
	}
	return t.UTC()
}

// epochTime reads a timestamp in a body: a JSON number of seconds since 1970,
// with a fraction or none.
func (v *violations) epochTime(at string, raw jsontext.Value) time.Time {
	if raw == nil || raw.Kind() == 'n' {
		v.missing(at)
		return time.Time{}
	}
	const least, most = -62135596799, 253402300799 // the years 1 to 9999
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if raw.Kind() != '0' || err != nil || seconds < least || seconds > most {
		v.add("", at, "Member must be a timestamp: a number of seconds since 1970-01-01T00:00:00Z")
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(math.Round(fraction*1e3))*int64(time.Millisecond)).UTC()
}
