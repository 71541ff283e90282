package envelope

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/internal/limits"
)

// reader walks JSON that strangers wrote: UTF-8, case-sensitive, names unique,
// nothing after the value. It copies nothing that it need not.
//
// Differs from upstream, which uses encoding/json: that takes names in any
// letter case, the last of duplicate names, and invalid UTF-8.
type reader struct {
	dec  *jsontext.Decoder
	buf  bytes.Buffer
	data []byte
	row  string // of a syntax error
}

// readers keeps readers between envelopes: what a decoder needs to find
// duplicate names is most of what Parse would allocate.
var readers = sync.Pool{New: func() any {
	r := new(reader)
	r.dec = jsontext.NewDecoder(&r.buf)
	return r
}}

// newReader starts a reader; call done after the last use.
func newReader(data []byte, row string) *reader {
	r := readers.Get().(*reader)
	r.data, r.row = data, row
	r.buf = *bytes.NewBuffer(data) // the decoder reads a Buffer in place
	r.dec.Reset(&r.buf)
	return r
}

func (r *reader) done() {
	r.data, r.buf = nil, bytes.Buffer{}
	r.dec.Reset(&r.buf)
	readers.Put(r)
}

// document reads an object that is all there is. each is called after a name
// was read and must read its value.
func (r *reader) document(each func(name string) error) error {
	if err := r.object(r.row, each); err != nil {
		return err
	}
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return bad(r.row, "data after the JSON object")
	}
	return nil
}

// object reads one object; row is blamed when there is something else.
func (r *reader) object(row string, each func(name string) error) error {
	if k := r.dec.PeekKind(); k != '{' && k != 0 {
		return bad(row, "want a JSON object")
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	for {
		switch r.dec.PeekKind() {
		case '"':
		case '}':
			_, err := r.dec.ReadToken()
			return err
		default:
			_, err := r.dec.ReadToken()
			if err == nil {
				err = errors.New("want a name")
			}
			return r.syntax(err)
		}
		raw, err := r.value()
		if err != nil {
			return err
		}
		name, err := jsonName(raw)
		if err != nil {
			return r.syntax(err)
		}
		if err := each(name); err != nil {
			return err
		}
	}
}

// value reads the next value and returns its bytes, a slice of the input.
func (r *reader) value() ([]byte, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, r.syntax(err)
	}
	end := int(r.dec.InputOffset())
	raw := r.data[end-len(v) : end]
	if raw[0] == '{' || raw[0] == '[' {
		if depth(raw) > limits.JSONDepth {
			return nil, tooMuch(r.row, "JSON is nested deeper than %d", limits.JSONDepth)
		}
	}
	return raw, nil
}

// syntax is the error for JSON that is not well-formed.
func (r *reader) syntax(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		var s *jsontext.SyntacticError
		if errors.As(err, &s) && s.JSONPointer.LastToken() == keyScheme {
			return badCause("SCH-01", err, "more than one signing scheme")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return badCause(r.row, err, "malformed JSON")
}

var errNotString = errors.New("want a JSON string")

// unquote returns what stands between the quotes of a JSON string, without a
// copy where nothing is escaped.
func unquote(raw []byte) ([]byte, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, errNotString
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jsontext.AppendUnquote(nil, raw)
}

func jsonString(raw []byte) (string, error) {
	b, err := unquote(raw)
	return string(b), err
}

// jsonName is jsonString without an allocation for the names of envelopes.
func jsonName(raw []byte) (string, error) {
	b, err := unquote(raw)
	if err != nil {
		return "", err
	}
	switch string(b) {
	case "payload":
		return "payload", nil
	case "protected":
		return "protected", nil
	case "header":
		return "header", nil
	case "signature":
		return "signature", nil
	case "alg":
		return "alg", nil
	case "cty":
		return "cty", nil
	case "crit":
		return "crit", nil
	case "x5c":
		return "x5c", nil
	case keyScheme:
		return keyScheme, nil
	case keySigningTime:
		return keySigningTime, nil
	case keyAuthenticSigningTime:
		return keyAuthenticSigningTime, nil
	case keyExpiry:
		return keyExpiry, nil
	case keyTimestamp:
		return keyTimestamp, nil
	case keySigningAgent:
		return keySigningAgent, nil
	case "targetArtifact":
		return "targetArtifact", nil
	case "mediaType":
		return "mediaType", nil
	case "digest":
		return "digest", nil
	case "size":
		return "size", nil
	}
	return string(b), nil
}

// folds is the one of known that name equals but for letter case, or "".
func folds(name string, known ...string) string {
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return k
		}
	}
	return ""
}

// depth is how deep well-formed JSON nests; a scalar has depth 0.
func depth(raw []byte) int {
	now, most, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
