package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
)

// reader takes values out of a document and notes every fault on the way.
type reader struct{ faults document.Faults }

// at is a value and where it stands.
type at struct {
	node *document.Node
	path string
	line int
}

func (a at) item(i int) at {
	n := a.node.Items[i]
	return at{n, a.path + "[" + strconv.Itoa(i) + "]", n.Line}
}

// fault notes what is wrong with a.
func (r *reader) fault(a at, format string, args ...any) {
	r.faults.Add(a.line, a.path, format, args...)
}

// wrong notes that a is of another kind than wanted.
func (r *reader) wrong(a at, want string) {
	got := a.node.Kind.String()
	switch a.node.Kind {
	case document.Number, document.Bool, document.String:
		got = document.OneLine(fmt.Sprintf("%q", a.node.Text))
	}
	r.fault(a, "%s is wanted, not %s", want, got)
}

// object is a mapping with the keys of one place in the format.
type object struct {
	at
	fields map[string]at
}

// has says whether the key is written, whatever its value.
func (o *object) has(key string) bool {
	_, ok := o.fields[key]
	return ok
}

// field is the value of a key; its node is nil where it is not written.
func (o *object) field(key string) at {
	f, ok := o.fields[key]
	if !ok {
		return at{path: joinPath(o.path, key), line: o.line}
	}
	return f
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object reads a mapping. Keys that are not known are faults; nil: it is none.
func (r *reader) object(a at, known ...string) *object {
	if a.node == nil || a.node.Kind != document.Mapping {
		r.wrong(a, "a mapping with keys such as "+known[0])
		return nil
	}
	o := &object{a, make(map[string]at, len(a.node.Pairs))}
	for _, p := range a.node.Pairs {
		f := at{p.Value, joinPath(a.path, p.Key), p.Line}
		if !contains(known, p.Key) {
			r.faults.Add(p.Line, a.path, "unknown key %q%s", p.Key, nearest(p.Key, known))
			continue
		}
		o.fields[p.Key] = f
	}
	return o
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// nearest names what was probably meant, or all there is.
func nearest(s string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(s), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	return ": there are " + strings.Join(known, ", ")
}

// editDistance is how many letters differ; beyond 32 bytes it does not look.
func editDistance(a, b string) int {
	if len(a) > 32 || len(b) > 32 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// text reads a text of 1 to most bytes in one line.
func (r *reader) text(a at, what string, most int) string {
	if a.node.Kind != document.String {
		want := what + ", a text"
		if a.node.Kind == document.Number || a.node.Kind == document.Bool {
			want += " (in quotes, for it looks like something else)"
		}
		r.wrong(a, want)
		return ""
	}
	switch s := a.node.Text; {
	case strings.TrimSpace(s) == "":
		r.fault(a, "%s is empty", what)
	case len(s) > most:
		r.fault(a, "%s is longer than %d bytes", what, most)
	case strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }):
		r.fault(a, "%s has a line break or another control character in it", what)
	default:
		return s
	}
	return ""
}

// required reads a text that has to be there.
func (r *reader) required(o *object, key, what string, most int) string {
	f := o.field(key)
	if f.node == nil {
		r.faults.Add(o.line, o.path, "%s is missing: write %s", what, key)
		return ""
	}
	return r.text(f, what, most)
}

// choice reads one of a few words; the first is the default.
func (r *reader) choice(o *object, key string, words ...string) int {
	f := o.field(key)
	if f.node == nil {
		return 0
	}
	if f.node.Kind == document.String {
		for i, w := range words {
			if f.node.Text == w {
				return i
			}
		}
	}
	r.wrong(f, strings.Join(words[:len(words)-1], ", ")+" or "+words[len(words)-1])
	return 0
}

// list reads a list that is not empty, of at most most items.
func (r *reader) list(a at, what string, most int) []at {
	if a.node.Kind != document.Sequence {
		r.wrong(a, "a list of "+what)
		return nil
	}
	switch n := len(a.node.Items); {
	case n == 0:
		r.fault(a, "the list of %s is empty", what)
		return nil
	case n > most:
		r.fault(a, "there are %d %s, and %d are allowed", n, what, most)
		return nil
	}
	items := make([]at, len(a.node.Items))
	for i := range items {
		items[i] = a.item(i)
	}
	return items
}

// duration reads what time.ParseDuration reads, and days before that: 90d,
// 1d12h. It is positive, and at most most.
func (r *reader) duration(a at, most time.Duration) time.Duration {
	const want = `a duration such as "90s", "15m", "168h" or "90d"`
	if a.node.Kind != document.String {
		r.wrong(a, want)
		return 0
	}
	d, err := ParseDuration(a.node.Text)
	switch {
	case err != nil:
		r.wrong(a, want)
	case d <= 0:
		r.fault(a, "the duration %s is not more than nothing", a.node.Text)
	case d > most:
		r.fault(a, "the duration %s is longer than %s", a.node.Text, most)
	default:
		return d
	}
	return 0
}

// ParseDuration reads what [time.ParseDuration] reads, and days of 24 hours in
// front of it: "90d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if strings.ContainsAny(s, "+-") {
		return 0, fmt.Errorf("%q is no duration: it has a sign", s)
	}
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > uint64(limits.PolicyDuration/(24*time.Hour)) {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more > limits.PolicyDuration {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return d + more, nil
}
