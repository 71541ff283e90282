package admission

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// reader walks JSON once, without building a tree: of an object of megabytes
// only some texts are wanted.
type reader struct {
	dec  jsontext.Decoder
	src  []byte
	path []byte // of pod specifications: the keys above, "volumes.csi."; no indexes
	deep int
}

// readers keep the room in which a decoder counts names; it bounds that itself.
var readers = sync.Pool{New: func() any { return new(reader) }}

// newReader reads src, refusing what is not JSON, texts that are not UTF-8 and
// members that are there twice.
func newReader(src []byte) *reader { return reading(src) }

// again reads what a reader has passed over already: members that are there
// twice were refused then.
func again(src []byte) *reader { return reading(src, jsontext.AllowDuplicateNames(true)) }

func reading(src []byte, o ...jsontext.Options) *reader {
	r := readers.Get().(*reader) //nolint:forcetypeassert // nothing else is put there
	r.src, r.path, r.deep = src, r.path[:0], 0
	r.dec.Reset(bytes.NewBuffer(src), o...)
	return r
}

// done gives the reader back; what it read may not be kept by it.
func (r *reader) done() {
	r.src = nil
	r.dec.Reset(bytes.NewBuffer(nil))
	if cap(r.path) > limits.AdmissionNameBytes {
		r.path = nil
	}
	readers.Put(r)
}

// malformed is the fault of a review that is not what the API server writes.
func malformed(format string, args ...any) error {
	return &shuin.Error{
		Code: shuin.CodeMalformed, Message: "read the review: " + fmt.Sprintf(format, args...),
		Hint: "AdmissionReview of admission.k8s.io/v1 is read here, as the Kubernetes API server writes it",
	}
}

// syntax says what the decoder did not like. Its own words hold parts of the
// review and are not passed on.
func (r *reader) syntax(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &s):
		return malformed("the member %s is there twice", echo(string(s.JSONPointer)))
	case errors.As(err, &s):
		return malformed("it is not JSON, at byte %d", s.ByteOffset)
	}
	return malformed("it is not JSON, at byte %d", r.dec.InputOffset())
}

// wrong is the fault of a value of another type than it should have.
func (r *reader) wrong(want string) error {
	return malformed("%s is not %s", echo(string(r.dec.StackPointer())), want)
}

// members calls f at the value of each member of the object that comes next;
// f reads it whole. The name is part of what is read. null has none.
func (r *reader) members(f func(name []byte) error) error {
	switch r.dec.PeekKind() {
	case 'n':
		return r.skip()
	case '{':
	default:
		return r.other("an object")
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	for r.dec.PeekKind() != '}' {
		var name []byte
		err := r.raw(&name)
		if err == nil {
			name, err = r.unquoted(name)
		}
		if err != nil {
			return err
		}
		if err := f(name); err != nil {
			return err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	return nil
}

// items calls f at each item of the list that comes next. null has none.
func (r *reader) items(f func(i int) error) error {
	switch r.dec.PeekKind() {
	case 'n':
		return r.skip()
	case '[':
	default:
		return r.other("a list")
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	for i := 0; r.dec.PeekKind() != ']'; i++ {
		if err := f(i); err != nil {
			return err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	return nil
}

// other is what is wrong where something else comes next.
func (r *reader) other(want string) error {
	if err := r.skip(); err != nil {
		return err
	}
	return r.wrong(want)
}

// text reads a string; null is empty.
func (r *reader) text() (string, error) {
	switch r.dec.PeekKind() {
	case 'n':
		return "", r.skip()
	case '"':
	default:
		return "", r.other("a text")
	}
	var v []byte
	err := r.raw(&v)
	if err == nil {
		v, err = r.unquoted(v)
	}
	return string(v), err
}

// length is how many bytes the string has that comes next; 0 of anything else.
func (r *reader) length() (int, error) {
	if r.dec.PeekKind() != '"' {
		return 0, r.skip()
	}
	var v []byte
	err := r.raw(&v)
	if err == nil {
		v, err = r.unquoted(v)
	}
	return len(v), err
}

// into reads a string of at most so many bytes.
func (r *reader) into(s *string, most int) error {
	got, err := r.text()
	if err == nil && len(got) > most {
		err = &shuin.Error{
			Code:    shuin.CodeLimit,
			Message: fmt.Sprintf("read the review: %s is longer than %d bytes", echo(string(r.dec.StackPointer())), most),
		}
	}
	*s = got
	return err
}

// name reads a string that names something.
func (r *reader) name(s *string) error { return r.into(s, limits.AdmissionNameBytes) }

// label reads a string that is told and nothing else: a long one is cut.
func (r *reader) label(s *string) error {
	got, err := r.text()
	*s = cut(got, limits.AdmissionNameBytes)
	return err
}

// truth reads a boolean; null is false.
func (r *reader) truth(b *bool) error {
	switch r.dec.PeekKind() {
	case 'n':
		return r.skip()
	case 't', 'f':
		tok, err := r.dec.ReadToken()
		if err != nil {
			return r.syntax(err)
		}
		*b = tok.Bool()
		return nil
	}
	return r.other("true or false")
}

// raw is the value that comes next, as it stands in the input.
func (r *reader) raw(out *[]byte) error {
	v, err := r.dec.ReadValue()
	if err != nil {
		return r.syntax(err)
	}
	end := r.dec.InputOffset() // v itself is good until the next read alone
	*out = r.src[end-int64(len(v)) : end]
	return nil
}

func (r *reader) skip() error {
	if err := r.dec.SkipValue(); err != nil {
		return r.syntax(err)
	}
	return nil
}

// end wants nothing but white space to be left.
func (r *reader) end() error {
	if r.dec.PeekKind() != 0 {
		return malformed("something follows it, at byte %d", r.dec.InputOffset())
	}
	if _, err := r.dec.ReadToken(); err != nil && r.dec.InputOffset() < int64(len(bytes.TrimRight(r.src, " \t\r\n"))) {
		return r.syntax(err)
	}
	return nil
}

// unquoted is what a JSON string says; a part of it where nothing is escaped.
func (r *reader) unquoted(v []byte) ([]byte, error) {
	if bytes.IndexByte(v, '\\') < 0 && len(v) >= 2 {
		return v[1 : len(v)-1], nil
	}
	out, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return nil, r.syntax(err)
	}
	return out, nil
}

// echo shows a value of another's, cut and with nothing that could steer a
// terminal.
func echo(s string) string {
	return strconv.Quote(cut(s, limits.GateAPIEchoBytes))
}

// printable shows s in one line, without what could steer a terminal or forge
// a line of a log.
func printable(s string) string {
	bad := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
	}
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case bad(r):
			return '?'
		}
		return r
	}, s)
}

// cut is s in at most n bytes, the cut marked.
func cut(s string, n int) string {
	const mark = "…"
	if len(s) <= n {
		return s
	}
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
