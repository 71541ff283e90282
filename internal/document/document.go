// Package document reads YAML and JSON from outside into one tree of nodes that
// know their line, so that what reads them can name every fault at once with
// its place.
//
// It is strict and bounded: a key twice, a custom tag, an anchor that contains
// itself, a merge key (<<), more bytes, nodes or depth than allowed are
// refused. JSON (RFC 8259; the first byte that is no white space is "{" or
// "[") is read as JSON, not as YAML that looks like it; several values may
// follow each other. Plain scalars of YAML are what the core schema of YAML 1.2
// says: yes, on and 1_000 are strings, 0o17 and 1e3 are numbers. It knows no
// schema and reads no file.
package document

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Kind is what a node is. Zero is invalid.
type Kind uint8

// The kinds.
const (
	Mapping  Kind = iota + 1 // Pairs
	Sequence                 // Items
	String                   // Text, unquoted
	Number                   // Text, as written
	Bool                     // Text is "true" or "false"
	Null
)

// String is the kind as a fault names it: "a list", "a text".
func (k Kind) String() string {
	switch k {
	case Mapping:
		return "keys and values"
	case Sequence:
		return "a list"
	case String:
		return "a text"
	case Number:
		return "a number"
	case Bool:
		return "true or false"
	case Null:
		return "nothing"
	}
	return "invalid"
}

// Node is one value of a document. An alias of YAML shares the node that it
// stands for: a tree is not to be changed.
type Node struct {
	Kind  Kind
	Line  int // from 1
	Text  string
	Items []*Node
	Pairs []Pair // in order, no key twice
}

// Pair is one member of a mapping. Keys are strings, as they were written.
type Pair struct {
	Key   string
	Line  int
	Value *Node
}

// Field is the value of key, or nil.
func (n *Node) Field(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// Fault is one thing wrong with a document, and where.
type Fault struct {
	Line int    // 0: of the whole document
	Path string // "rules[2].require", empty for the whole document
	Text string // lower case, no period
}

// String is "line 12: rules[2].require: …": one line, printable, of bounded
// length.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		b.WriteString(OneLine(f.Path))
		b.WriteString(": ")
	}
	b.WriteString(OneLine(f.Text))
	return b.String()
}

// Faults are all of them, in the order of their lines; an error.
type Faults []Fault

// Error is one fault per line, "line 12: rules[2].require: …", at most
// limits.FaultsShown of them.
func (f Faults) Error() string {
	var b strings.Builder
	for i, one := range f {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == limits.FaultsShown {
			fmt.Fprintf(&b, "and %d more", len(f)-i)
			break
		}
		b.WriteString(one.String())
	}
	return b.String()
}

// Add adds a fault; beyond limits.DocumentFaults it is dropped.
func (f *Faults) Add(line int, path, format string, args ...any) {
	if len(*f) < limits.DocumentFaults {
		*f = append(*f, Fault{line, path, fmt.Sprintf(format, args...)})
	}
}

// Err is f in the order of its lines, or nil where it is empty.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int { return a.Line - b.Line })
	return f
}

// OneLine makes a text from outside fit for an error's: one line, without what
// a terminal would obey, at most limits.FaultBytes long.
func OneLine(s string) string {
	long := len(s) > limits.FaultBytes
	if long {
		s = s[:limits.FaultBytes]
		for len(s) > 0 && !utf8.ValidString(s[len(s)-1:]) && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n == 1 {
			s = s[:len(s)-1]
		}
	}
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if long {
		s += "…"
	}
	return s
}

// Limits of Read; zero means internal/limits' own.
type Limits struct {
	Bytes, Nodes, Depth, Documents int
}

func (l Limits) orDefault() Limits {
	for _, one := range []struct {
		value *int
		own   int
	}{
		{&l.Bytes, limits.DocumentBytes}, {&l.Nodes, limits.DocumentNodes},
		{&l.Depth, limits.DocumentDepth}, {&l.Documents, limits.Documents},
	} {
		if *one.value <= 0 {
			*one.value = one.own
		}
	}
	return l
}

// Read reads all documents of data. Empty ones are left out. The error is
// Faults, or a *shuin.Error with shuin.CodeLimit.
func Read(data []byte, l Limits) ([]*Node, error) {
	l = l.orDefault()
	if len(data) > l.Bytes {
		return nil, tooMuch("the file is larger than %d bytes", l.Bytes)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := checkText(data); err != nil {
		return nil, err
	}
	switch first := bytes.TrimLeft(data, " \t\r\n"); {
	case len(first) == 0:
		return nil, nil
	case first[0] == '{' || first[0] == '[':
		return readJSON(data, l)
	}
	return readYAML(data, l)
}

// checkText refuses what is not UTF-8, with its line.
func checkText(data []byte) error {
	if utf8.Valid(data) {
		return nil
	}
	line := 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return Faults{{Line: line, Text: fmt.Sprintf("not UTF-8: byte 0x%02x (byte %d of the file)", data[i], i+1)}}
		}
		if r == '\n' {
			line++
		}
		i += n
	}
	return nil
}

func tooMuch(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf(format, args...), Hint: "split the file"}
}

// counter counts nodes and depth as they are made.
type counter struct {
	Limits
	nodes int
}

func (c *counter) add(n, depth, line int) error {
	if c.nodes += n; c.nodes > c.Nodes {
		return tooMuch("line %d: more than %d values in the file", line, c.Nodes)
	}
	if depth > c.Depth {
		return tooMuch("line %d: more than %d lists and mappings inside each other", line, c.Depth)
	}
	return nil
}

func (c *counter) document(n, line int) error {
	if n > c.Documents {
		return tooMuch("line %d: more than %d documents in the file", line, c.Documents)
	}
	return nil
}
