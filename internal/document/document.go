// Package document reads YAML and JSON from outside into one tree of nodes that
// know their line, so that what reads them can name every fault at once with
// its place.
//
// It is strict and bounded: a key twice, a custom tag, an anchor that contains
// itself, a merge key (<<), more bytes, nodes or depth than allowed are
// refused. JSON (RFC 8259; the first byte that is no white space is "{" or
// "[") is read as JSON, not as YAML that looks like it. It knows no schema and
// reads no file.
package document

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

// Node is one value of a document.
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

// Faults are all of them, in the order of their lines; an error.
type Faults []Fault

// Error is one fault per line, "line 12: rules[2].require: …".
func (f Faults) Error() string { panic("unimplemented") }

// Limits of Read; zero means internal/limits' own.
type Limits struct {
	Bytes, Nodes, Depth, Documents int
}

// Read reads all documents of data. Empty ones are left out. The error is
// Faults, or a *shuin.Error with shuin.CodeLimit.
func Read(data []byte, l Limits) ([]*Node, error) { panic("unimplemented") }
