// Package sigv4 checks AWS Signature Version 4 on requests that reached us
// (Authorization header only, double-encoded canonical path, as every service
// but S3 has it). It holds no keys and remembers nothing: whether a signature
// was seen before, is of this hour, or names the right region and host is the
// caller's business.
package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// AWS's codes of a refusal.
const (
	CodeMissing    = "MissingAuthenticationTokenException"
	CodeIncomplete = "IncompleteSignatureException"
	CodeInvalid    = "InvalidSignatureException"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeLayout = "20060102T150405Z"

	headerAuthorization = "Authorization"
	headerDate          = "X-Amz-Date"
	headerToken         = "X-Amz-Security-Token"
	headerContentHash   = "X-Amz-Content-Sha256"
)

// Signed is the signature a request claims, parsed and not yet checked.
type Signed struct {
	AccessKeyID   string
	Time          time.Time // X-Amz-Date, UTC, whole seconds
	Region        string    // may be empty: some clients send none
	Service       string
	SignedHeaders []string // lower case, sorted
	Signature     string   // lower-case hexadecimal
	SessionToken  string   // X-Amz-Security-Token, signed
	BodySHA256    string   // of the body that Verify was given, lower-case hexadecimal

	query []pair // of the request, decoded
}

// Error is a refusal: Code is one of AWS's (IncompleteSignatureException,
// InvalidSignatureException, MissingAuthenticationTokenException). Message
// quotes nothing of the Authorization header's values: what a client puts
// there by mistake may be its secret.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Message }

func incomplete(text string) error { return &Error{CodeIncomplete, text} }
func invalid(text string) error    { return &Error{CodeInvalid, text} }

// Parse reads the Authorization header. It refuses presigned requests,
// UNSIGNED-PAYLOAD and streaming hashes, other algorithms, repeated headers,
// and a Host or an X-Amz-… header that is not signed. Bounded by limits.
// Errors are *Error.
func Parse(r *http.Request) (*Signed, error) {
	s := &Signed{}
	var err error
	if s.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	for _, p := range s.query {
		if hasPrefixFold(p.key, "x-amz-") {
			return nil, incomplete("Signatures in the query string (presigned requests) are not accepted: send an Authorization header. Found the query parameter " + quote(p.key) + ".")
		}
	}
	values := r.Header.Values(headerAuthorization)
	switch {
	case len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "":
		return nil, &Error{CodeMissing, "Missing Authentication Token: the request has no Authorization header."}
	case len(values) > 1:
		return nil, incomplete("The request has more than one Authorization header.")
	case len(values[0]) > limits.SigV4Authorization:
		return nil, incomplete("The Authorization header is longer than " + strconv.Itoa(limits.SigV4Authorization) + " bytes.")
	}
	credential, err := s.authorization(values[0])
	if err != nil {
		return nil, err
	}
	if err := s.date(r, credential); err != nil {
		return nil, err
	}
	if err := s.headers(r); err != nil {
		return nil, err
	}
	return s, nil
}

// authorization reads the header's value and returns the credential's date.
func (s *Signed) authorization(value string) (day string, err error) {
	alg, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	if alg != algorithm {
		return "", incomplete("The Authorization header must use the algorithm " + algorithm + ".")
	}
	var credential, signed string
	fields := map[string]*string{"Credential": &credential, "SignedHeaders": &signed, "Signature": &s.Signature}
	for part := range strings.SplitSeq(rest, ",") {
		name, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		field := fields[name]
		switch {
		case !ok || field == nil:
			return "", incomplete("The Authorization header has a part that is not 'Credential=', 'SignedHeaders=' or 'Signature='.")
		case *field != "":
			return "", incomplete("The Authorization header has '" + name + "' more than once.") // one of the three
		}
		*field = v
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if *fields[name] == "" {
			return "", incomplete("Authorization header requires '" + name + "' parameter.")
		}
	}
	if !isHex(s.Signature) {
		return "", incomplete("The signature is not 64 lower-case hexadecimal digits.")
	}
	s.SignedHeaders = strings.Split(signed, ";")
	return s.credential(credential)
}

// credential reads KEY/DATE/REGION/SERVICE/aws4_request.
func (s *Signed) credential(c string) (day string, err error) {
	parts := strings.Split(c, "/")
	if len(parts) != 5 {
		return "", incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got " + strconv.Itoa(len(parts)) + ".")
	}
	if !isKeyID(parts[0]) {
		return "", incomplete("The access key id in the Credential is not 1 to 128 letters, digits or underscores.")
	}
	if parts[4] != terminator {
		return "", invalid("Credential should be scoped with a valid terminator: '" + terminator + "'.")
	}
	s.AccessKeyID, s.Region, s.Service = parts[0], parts[2], parts[3]
	return parts[1], nil
}

// date reads X-Amz-Date and holds it against the credential's.
func (s *Signed) date(r *http.Request, day string) error {
	values := r.Header.Values(headerDate)
	if len(values) == 0 {
		return incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
	}
	t, err := time.Parse(timeLayout, values[0])
	if len(values) > 1 || err != nil || t.Format(timeLayout) != values[0] {
		return incomplete("Date must be in ISO-8601 'basic format', once. Got " + quote(strings.Join(values, ", ")) + ".")
	}
	s.Time = t
	if want := values[0][:8]; day != want {
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: it is not " + quote(want) + ", from " + quote(values[0]) + ".")
	}
	return nil
}

// headers holds the list of signed headers against those that came.
func (s *Signed) headers(r *http.Request) error {
	names := s.SignedHeaders
	if len(names) > limits.SigV4SignedHeaders {
		return incomplete("More than " + strconv.Itoa(limits.SigV4SignedHeaders) + " signed headers.")
	}
	for i, name := range names {
		if !isHeaderName(name) || name == "authorization" || i > 0 && names[i-1] >= name {
			return incomplete("SignedHeaders must be lower-case header names, sorted, each once, without 'authorization'.")
		}
	}
	if !s.Signs("host") {
		return invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-amz-") || lower == "x-amz-cf-id" { // a CDN adds that one behind the client's back
			continue
		}
		if !s.Signs(lower) {
			return invalid("'" + name + "' must be a 'SignedHeader' in the AWS Authorization.")
		}
		if (name == headerToken || name == headerContentHash) && len(values) > 1 {
			return incomplete("The request has more than one " + name + " header.")
		}
	}
	if h := r.Header.Get(headerContentHash); r.Header.Values(headerContentHash) != nil && !isHex(h) {
		return invalid("X-Amz-Content-Sha256 must be the SHA-256 of the body in lower-case hexadecimal; UNSIGNED-PAYLOAD and STREAMING-… are not accepted. Got " + quote(h) + ".")
	}
	s.SessionToken = r.Header.Get(headerToken)
	return nil
}

// Signs says whether the signature covers a header, whatever the case of name.
func (s *Signed) Signs(name string) bool {
	_, ok := slices.BinarySearch(s.SignedHeaders, strings.ToLower(name))
	return ok
}

// TimeString is t as signatures write it.
func TimeString(t time.Time) string { return t.UTC().Format(timeLayout) }

// quote puts what a stranger wrote into a message, cut and without controls.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	q := strconv.Quote(s)
	return "'" + q[1:len(q)-1] + "'"
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isHex: 32 bytes in lower-case hexadecimal.
func isHex(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func isKeyID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}

// isHeaderName: a token of RFC 9110 without capitals.
func isHeaderName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
