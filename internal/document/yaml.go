package document

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/shuin/shuin/internal/limits"
)

// readYAML reads each document by itself. The library is not trusted with a
// stream of them: after an empty document it drops all that follow.
func readYAML(data []byte, l Limits) (docs []*Node, err error) {
	if err := checkCharacters(data); err != nil {
		return nil, err
	}
	r := &yamlReader{counter: counter{Limits: l}}
	for _, piece := range split(string(data)) {
		n, err := r.piece(piece)
		if err != nil {
			return nil, err
		}
		if n == nil || n.Kind == Null {
			continue
		}
		if err := r.document(len(docs)+1, n.Line); err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
	if err := r.faults.Err(); err != nil {
		return nil, err
	}
	return docs, nil
}

// piece is the text of one document, from its "---" on.
type piece struct {
	text string
	line int // of its first
}

// split cuts a stream at its markers. A line that begins with "---" or "..."
// and white space is one wherever it stands, in quotes and block scalars too
// (YAML 1.2.2, section 9.1.2, c-forbidden).
func split(s string) []piece {
	var all []piece
	start, first, line := 0, 1, 1
	cut := func(end, next, nextLine int) {
		if text := s[start:end]; strings.TrimSpace(text) != "" {
			all = append(all, piece{text, first})
		}
		start, first = next, nextLine
	}
	for at := 0; at < len(s); line++ {
		end := len(s)
		if i := strings.IndexByte(s[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch one := s[at:end]; {
		case marker(one, "---"):
			cut(at, at, line)
		case marker(one, "..."):
			cut(at, at+3, line)
		}
		at = end
	}
	cut(len(s), len(s), line)
	return all
}

func marker(line, mark string) bool {
	rest, ok := strings.CutPrefix(line, mark)
	return ok && (rest == "" || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// piece reads one document. Nil: it is empty, or has faults.
func (r *yamlReader) piece(p piece) (*Node, error) {
	text := p.text
	if !strings.HasPrefix(text, "---") {
		text = r.directives(text, p.line)
	}
	r.base, r.last = p.line-1, p.line+strings.Count(strings.TrimSuffix(text, "\n"), "\n")
	tokens, err := tokenize(text)
	if err != nil {
		r.notYAML(err)
		return nil, nil
	}
	if r.tokens += len(tokens); r.tokens > limits.DocumentTokens {
		return nil, tooMuch("more than %d words of YAML in the file", limits.DocumentTokens)
	}
	if err := checkTokens(tokens, r.Limits, r.base); err != nil {
		return nil, err
	}
	if r.glued(tokens) {
		return nil, nil
	}
	file, err := parse(tokens)
	if err != nil {
		r.notYAML(err)
		return nil, nil
	}
	r.scalars, r.anchors = 0, map[string]*anchor{}
	var found *Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		n, _, err := r.value("", d.Body, 1)
		if err != nil {
			return nil, err
		}
		if found != nil {
			r.faults.Add(r.lineOf(d.Body), "", "not YAML: more than one value in a document")
		}
		found = n
	}
	if len(r.faults) == 0 && r.scalars != scalarsOf(tokens) {
		r.faults.Add(p.line, "", "this document cannot be read with certainty: write its keys and values in a plainer way")
	}
	return found, nil
}

// directives blanks the directives before a document out: YAML's version says
// nothing new, and tags of one's own are refused.
func (r *yamlReader) directives(text string, line int) string {
	var blank strings.Builder
	left := text
	for one := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(one); {
		case strings.HasPrefix(one, "%YAML"):
		case strings.HasPrefix(one, "%"):
			r.faults.Add(line, "", "the directive %s, which is not allowed here", trimmed)
		case trimmed == "" || trimmed[0] == '#':
		default:
			return blank.String() + left
		}
		blank.WriteString("\n")
		left = left[len(one):]
		line++
	}
	return blank.String()
}

// scalarsOf counts the scalars among the words of a document, so that none
// that the parser dropped goes unnoticed.
func scalarsOf(tokens token.Tokens) int {
	n, named := 0, false
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.LiteralType, token.FoldedType:
			if t.Type == token.LiteralType || t.Type == token.FoldedType {
				n++
			}
			named = true // a name or a text follows, which is counted with this
			continue
		case token.CommentType:
			continue
		case token.NullType, token.InfinityType, token.NanType, token.IntegerType, token.BinaryIntegerType,
			token.OctetIntegerType, token.HexIntegerType, token.FloatType, token.StringType, token.BoolType,
			token.SingleQuoteType, token.DoubleQuoteType, token.MergeKeyType:
			if !named {
				n++
			}
		}
		named = false
	}
	return n
}

// checkCharacters refuses the characters that YAML 1.2 (section 5.1) does not
// allow outside of escapes, and a carriage return that ends no line.
func checkCharacters(data []byte) error {
	line, after := 1, false
	for _, c := range string(data) {
		if after && c != '\n' {
			return Faults{{Line: line, Text: "not YAML: a carriage return without a line feed"}}
		}
		after = c == '\r'
		switch {
		case c == '\n':
			line++
		case c == '\t' || c == '\r' || c == 0x85:
		case c < 0x20 || 0x7f <= c && c < 0xa0 || c == 0xfffe || c == 0xffff:
			return Faults{{Line: line, Text: fmt.Sprintf("not YAML: the control character U+%04X", c)}}
		}
	}
	return nil
}

// checkTokens bounds, before anything recursive is done, how deep the document
// may turn out to be. In flow context each bracket is a level; in block
// context a level begins at a column further right. Several columns may be of
// one level, so that this is no more than a rough bound: the reader counts
// levels exactly. It also bounds how many tokens begin in one column of one
// level: keys, or items of a list.
func checkTokens(tokens token.Tokens, l Limits, base int) error {
	type level struct{ column, begun, most int }
	var columns []level
	flow := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.CommentType:
			continue
		}
		if flow == 0 {
			for len(columns) > 0 && columns[len(columns)-1].column > t.Position.Column {
				columns = columns[:len(columns)-1]
			}
			if n := len(columns); n == 0 || columns[n-1].column < t.Position.Column {
				one := level{t.Position.Column, 0, limits.DocumentKeys}
				if t.Type == token.SequenceEntryType {
					one.most = limits.DocumentItems
				}
				columns = append(columns, one)
			}
			top := &columns[len(columns)-1]
			if top.begun++; top.begun > top.most {
				return tooMuch("line %d: more than %d keys or items in one place", base+t.Position.Line, top.most)
			}
		}
		if flow > l.Depth || len(columns) > 8*l.Depth {
			return tooMuch("line %d: more than %d lists and mappings inside each other", base+t.Position.Line, l.Depth)
		}
	}
	return nil
}

// glued notes the colons inside flow context that belong to a plain scalar, and
// which the library takes for the end of a key: in [a, {b: [ca:x]}] it finds
// {ca: x}, where YAML has the text ca:x (YAML 1.2.2, section 7.3.3,
// ns-plain-char: a colon that something safe follows).
func (r *yamlReader) glued(tokens token.Tokens) bool {
	found, flow := false, 0
	for i, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
			continue
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
			continue
		}
		if t.Type != token.MappingValueType || flow == 0 || i == 0 || i+1 == len(tokens) {
			continue
		}
		before, after := tokens[i-1], tokens[i+1]
		switch before.Type {
		case token.SingleQuoteType, token.DoubleQuoteType, token.MappingEndType, token.SequenceEndType:
			continue // what JSON has: the value may follow at once
		}
		switch after.Type {
		case token.MappingStartType, token.SequenceStartType, token.MappingEndType, token.SequenceEndType, token.CollectEntryType, token.CommentType:
			continue // none of these is safe in a plain scalar here
		}
		if after.Position.Line != t.Position.Line || after.Position.Column != t.Position.Column+1 {
			continue
		}
		text := OneLine(before.Value + ":" + after.Value)
		r.faults.Add(r.line(t.Position.Line), "", "%s inside brackets or braces is one text in YAML: put quotes around it (%q), or a space after the colon where a key ends there", text, text)
		found = true
	}
	return found
}

// tokenize and parse are the library's, whose panics are faults of the document.
func tokenize(text string) (tokens token.Tokens, err error) {
	defer refuse(&err)
	return lexer.Tokenize(text), nil
}

func parse(tokens token.Tokens) (file *ast.File, err error) {
	defer refuse(&err)
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

func refuse(err *error) {
	if recover() != nil {
		*err = errors.New("it cannot be read: write its keys and values in a plainer way")
	}
}

// notYAML notes the parser's error with its line, which it may place behind
// the end. The other documents are read all the same.
func (r *yamlReader) notYAML(err error) {
	f := Fault{Line: r.base + 1, Text: OneLine("not YAML: " + err.Error())}
	var at yaml.Error
	if errors.As(err, &at) {
		f.Text = OneLine("not YAML: " + at.GetMessage())
		if t := at.GetToken(); t != nil && t.Position != nil {
			f.Line = r.line(t.Position.Line)
		}
	}
	r.faults.Add(f.Line, "", "%s", f.Text)
}

// line is a line of the file for one of the document's.
func (r *yamlReader) line(n int) int { return min(max(r.base+n, r.base+1), r.last) }

// yamlReader makes nodes of a syntax tree. Its errors are limits; what is
// wrong with the document goes to faults.
type yamlReader struct {
	counter
	faults Faults
	tokens int // so far
	// Of the document that is read:
	base    int // lines before it
	last    int // its last line
	scalars int // seen in it
	anchors map[string]*anchor
}

// anchor is what an alias stands for.
type anchor struct {
	node  *Node
	size  int // nodes in it, aliases counted in full
	depth int // levels in it
	open  bool
}

// extent is how much a value holds.
type extent struct{ size, depth int }

func (e *extent) hold(inner extent) {
	e.size += inner.size
	e.depth = max(e.depth, inner.depth+1)
}

// value reads one value. It is nil where a fault was found that leaves none.
func (r *yamlReader) value(path string, n ast.Node, level int) (*Node, extent, error) {
	line := r.lineOf(n)
	switch n := n.(type) {
	case *ast.AnchorNode:
		return r.anchored(path, n, level)
	case *ast.AliasNode:
		return r.alias(path, n, level)
	case *ast.TagNode:
		return r.tagged(path, n, level)
	case *ast.MappingNode:
		return r.mapping(path, n, n.Values, level)
	case *ast.MappingValueNode:
		return r.mapping(path, n, []*ast.MappingValueNode{n}, level)
	case *ast.SequenceNode:
		return r.sequence(path, n, level)
	}
	if err := r.add(1, level-1, line); err != nil {
		return nil, extent{}, err
	}
	s := r.scalar(n)
	if s == nil {
		r.faults.Add(line, path, "something that is no value here")
		return nil, extent{1, 0}, nil
	}
	s.Line = line
	return s, extent{1, 0}, nil
}

// lineOf is the line of the file that n begins on; 0: nowhere.
func (r *yamlReader) lineOf(n ast.Node) int {
	switch m := n.(type) {
	case nil:
		return 0
	case *ast.MappingNode:
		if len(m.Values) > 0 && (m.Start == nil || m.Start.Type != token.MappingStartType) {
			return r.lineOf(m.Values[0])
		}
	case *ast.MappingValueNode:
		if m.Key != nil {
			return r.lineOf(m.Key)
		}
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return r.line(t.Position.Line)
	}
	return 0
}

func (r *yamlReader) mapping(path string, at ast.Node, values []*ast.MappingValueNode, level int) (*Node, extent, error) {
	n, held := &Node{Kind: Mapping, Line: r.lineOf(at)}, extent{size: 1}
	if err := r.add(1, level, n.Line); err != nil {
		return nil, held, err
	}
	held.depth = 1
	seen := make(map[string]int, len(values))
	for _, v := range values {
		key, line, ok := r.key(path, v.Key)
		if !ok {
			continue
		}
		if first, twice := seen[key]; twice {
			r.faults.Add(line, path, "the key %q is there twice, first in line %d", key, first)
			continue
		}
		seen[key] = line
		value, inner, err := r.value(join(path, key), v.Value, level+1)
		if err != nil {
			return nil, held, err
		}
		held.hold(inner)
		if value == nil {
			continue
		}
		n.Pairs = append(n.Pairs, Pair{key, line, value})
	}
	return n, held, nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// key reads a mapping's key, which has to be a text.
func (r *yamlReader) key(path string, n ast.MapKeyNode) (key string, line int, ok bool) {
	line = r.lineOf(n)
	var value ast.Node = n
	if q, is := value.(*ast.MappingKeyNode); is {
		value = q.Value
	}
	switch v := value.(type) {
	case *ast.MergeKeyNode:
		r.scalars++
		r.faults.Add(line, path, "a merge key (<<), which is not allowed here: write the keys out")
		return "", line, false
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.faults.Add(line, path, "a key with an anchor, alias or tag: write it out")
		return "", line, false
	default:
		s := r.scalar(v)
		switch {
		case s == nil:
			r.faults.Add(line, path, "a key that is no text")
		case s.Kind == Null:
			r.faults.Add(line, path, "a key is missing, or is null")
		case s.Kind != String:
			r.faults.Add(line, path, "the key %s is %s, and keys have to be texts: write \"%s\"", s.Text, s.Kind, s.Text)
		case s.Text == "<<" && v.GetToken().Type == token.StringType:
			r.faults.Add(line, path, "a merge key (<<), which is not allowed here: write the keys out")
		default:
			return s.Text, line, true
		}
		return "", line, false
	}
}

func (r *yamlReader) sequence(path string, s *ast.SequenceNode, level int) (*Node, extent, error) {
	n, held := &Node{Kind: Sequence, Line: r.lineOf(s)}, extent{1, 1}
	if err := r.add(1, level, n.Line); err != nil {
		return nil, held, err
	}
	for i, v := range s.Values {
		item, inner, err := r.value(path+"["+strconv.Itoa(i)+"]", v, level+1)
		if err != nil {
			return nil, held, err
		}
		held.hold(inner)
		if item != nil {
			n.Items = append(n.Items, item)
		}
	}
	return n, held, nil
}

func (r *yamlReader) anchored(path string, n *ast.AnchorNode, level int) (*Node, extent, error) {
	name := nameOf(n.Name)
	a := &anchor{open: true}
	r.anchors[name] = a
	if n.Value == nil {
		r.faults.Add(r.lineOf(n), path, "the anchor &%s stands for nothing", name)
		return nil, extent{}, nil
	}
	value, held, err := r.value(path, n.Value, level)
	a.node, a.size, a.depth, a.open = value, held.size, held.depth, false
	return value, held, err
}

func (r *yamlReader) alias(path string, n *ast.AliasNode, level int) (*Node, extent, error) {
	name, line := nameOf(n.Value), r.lineOf(n)
	a := r.anchors[name]
	switch {
	case a == nil:
		r.faults.Add(line, path, "the alias *%s stands for nothing: no anchor &%s before it", name, name)
		return nil, extent{}, nil
	case a.open:
		r.faults.Add(line, path, "the anchor &%s contains itself", name)
		return nil, extent{}, nil
	}
	held := extent{a.size, a.depth}
	return a.node, held, r.add(a.size, level-1+a.depth, line)
}

func nameOf(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

// tagged reads a value with one of the tags of the core schema, which has to
// fit what is written; !!str makes a text of any plain scalar.
func (r *yamlReader) tagged(path string, n *ast.TagNode, level int) (*Node, extent, error) {
	tag, line := n.GetToken().Value, r.lineOf(n)
	var value *Node
	var held extent
	var err error
	if n.Value == nil {
		value, held = &Node{Kind: Null, Line: line}, extent{size: 1}
		err = r.add(1, level-1, line)
	} else {
		value, held, err = r.value(path, n.Value, level)
	}
	if err != nil || value == nil {
		return value, held, err
	}
	want, known := map[string]Kind{
		"!!str": String, "!!int": Number, "!!float": Number, "!!bool": Bool,
		"!!null": Null, "!!map": Mapping, "!!seq": Sequence,
	}[tag]
	switch {
	case !known:
		r.faults.Add(line, path, "the tag %s, which is not allowed here", tag)
	case want == String && value.Kind != Mapping && value.Kind != Sequence:
		text := value.Text
		if t := n.Value; t != nil && t.GetToken() != nil && value.Kind != String && t.GetToken().Type != token.ImplicitNullType {
			text = t.GetToken().Value // "True", which value has as "true"
		}
		return &Node{Kind: String, Line: value.Line, Text: text}, held, nil
	case want != value.Kind:
		r.faults.Add(line, path, "the tag %s with %s", tag, value.Kind)
	}
	return value, held, nil
}

// scalar reads a value that holds no others; nil where n is something else.
func (r *yamlReader) scalar(n ast.Node) *Node {
	if n != nil {
		r.scalars++
	}
	switch s := n.(type) {
	case nil:
		return &Node{Kind: Null}
	case *ast.LiteralNode:
		if s.Value == nil {
			return &Node{Kind: String}
		}
		return &Node{Kind: String, Text: s.Value.Value}
	case *ast.StringNode:
		if t := s.GetToken(); t != nil && (t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType) {
			return &Node{Kind: String, Text: s.Value}
		}
		return plain(s.Value)
	case *ast.MergeKeyNode:
		return &Node{Kind: String, Text: "<<"}
	case *ast.NullNode:
		if t := s.GetToken(); t == nil || t.Type == token.ImplicitNullType {
			r.scalars-- // nothing was written
			return &Node{Kind: Null}
		}
		return plain(s.GetToken().Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return plain(n.GetToken().Value)
	}
	return nil
}
