package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonReader reads a stream of JSON values and counts lines on the way.
type jsonReader struct {
	counter
	data []byte
	dec  *jsontext.Decoder
	at   int // the byte up to which lines are counted
	line int
}

func readJSON(data []byte, l Limits) ([]*Node, error) {
	r := &jsonReader{counter: counter{Limits: l}, data: data, dec: jsontext.NewDecoder(bytes.NewBuffer(data)), line: 1}
	var docs []*Node
	for {
		tok, err := r.next()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if err := r.document(len(docs)+1, r.line); err != nil {
			return nil, err
		}
		n, err := r.value(tok, 1)
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
}

// next reads a token; r.line is the line it ends on, which is the one it
// begins on, for JSON has no token of two lines.
func (r *jsonReader) next() (jsontext.Token, error) {
	tok, err := r.dec.ReadToken()
	if err != nil {
		if errors.Is(err, io.EOF) && r.dec.StackDepth() == 0 {
			return tok, io.EOF
		}
		return tok, r.fault(err)
	}
	r.line = r.lineOf(int(r.dec.InputOffset()))
	return tok, nil
}

func (r *jsonReader) lineOf(offset int) int {
	offset = min(max(offset, r.at), len(r.data))
	line := r.line + bytes.Count(r.data[r.at:offset], []byte{'\n'})
	r.at = offset
	return line
}

// fault says what the decoder did not like, with its line.
func (r *jsonReader) fault(err error) error {
	offset, text := r.dec.InputOffset(), err.Error()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset, text = syntax.ByteOffset, fmt.Sprint(syntax.Err)
		if errors.Is(syntax.Err, jsontext.ErrDuplicateName) {
			text = fmt.Sprintf("the key %q is there twice", syntax.JSONPointer.LastToken())
			return Faults{{Line: r.lineOf(int(offset)), Text: OneLine(text)}}
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		offset, text = int64(len(r.data)), "it ends too early"
	}
	return Faults{{Line: r.lineOf(int(offset)), Text: OneLine("not JSON: " + text)}}
}

func (r *jsonReader) value(tok jsontext.Token, depth int) (*Node, error) {
	n := &Node{Line: r.line}
	switch tok.Kind() {
	case 'n':
		n.Kind = Null
	case 't', 'f':
		n.Kind, n.Text = Bool, tok.String()
	case '"':
		n.Kind, n.Text = String, tok.String()
	case '0':
		n.Kind, n.Text = Number, tok.String()
	case '{':
		n.Kind = Mapping
	case '[':
		n.Kind = Sequence
	}
	if n.Kind != Mapping && n.Kind != Sequence {
		depth--
	}
	if err := r.add(1, depth, r.line); err != nil {
		return nil, err
	}
	switch n.Kind {
	case Mapping:
		return n, r.members(n, depth)
	case Sequence:
		return n, r.elements(n, depth)
	}
	return n, nil
}

func (r *jsonReader) members(n *Node, depth int) error {
	for {
		tok, err := r.next()
		if err != nil || tok.Kind() == '}' {
			return err
		}
		p := Pair{Key: tok.String(), Line: r.line}
		if tok, err = r.next(); err != nil {
			return err
		}
		if p.Value, err = r.value(tok, depth+1); err != nil {
			return err
		}
		n.Pairs = append(n.Pairs, p)
	}
}

func (r *jsonReader) elements(n *Node, depth int) error {
	for {
		tok, err := r.next()
		if err != nil || tok.Kind() == ']' {
			return err
		}
		item, err := r.value(tok, depth+1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
}
