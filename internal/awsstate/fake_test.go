package awsstate

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin/internal/awscall"
)

// fakeTable is as much of DynamoDB as a Table uses: GetItem and UpdateItem of
// one table (SDK types GetItemInput, UpdateItemInput), with conditions and
// updates of SET, REMOVE and ADD. It refuses members, names and values that the
// API would refuse. moto has the whole (test/awscli).
type fakeTable struct {
	t     *testing.T
	mu    sync.Mutex
	items map[string]item
	calls map[string]int
	// before is asked about the n-th call of an operation: what it answers is
	// sent in place of carrying it out; with a negative status it is carried out,
	// and the answer lost.
	before func(operation string, n int) (status int, body string)
}

func (f *fakeTable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	if !ok || r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.0" ||
		!strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/dynamodb/aws4_request") {
		f.t.Errorf("not a call of DynamoDB: %s %s %v", r.Method, r.URL, r.Header)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[operation]++
	n := f.calls[operation]
	if f.before != nil {
		if status, answer := f.before(operation, n); status != 0 {
			if status < 0 {
				status = -status
				f.do(operation, body)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
			return
		}
	}
	status, answer := f.do(operation, body)
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func (f *fakeTable) do(operation string, body []byte) (int, []byte) {
	fail := func(code, message string, more item) (int, []byte) {
		out, _ := json.Marshal(struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
			Item    item   `json:"Item,omitempty"`
		}{"com.amazonaws.dynamodb.v20120810#" + code, message, more})
		return http.StatusBadRequest, out
	}
	var in struct {
		TableName                           string
		Key                                 item
		ConsistentRead                      bool
		UpdateExpression                    string
		ConditionExpression                 string
		ExpressionAttributeNames            map[string]string
		ExpressionAttributeValues           item
		ReturnValuesOnConditionCheckFailure string
	}
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil {
		return fail("SerializationException", err.Error(), nil)
	}
	if in.TableName != "shuin" {
		return fail("ResourceNotFoundException", "Requested resource not found", nil)
	}
	id := in.Key["id"].text()
	if len(in.Key) != 1 || id == "" {
		return fail("ValidationException", "The provided key element does not match the schema", nil)
	}
	have := f.items[id]
	if operation == "GetItem" {
		if !in.ConsistentRead {
			f.t.Error("a read that may be stale")
		}
		out, _ := json.Marshal(struct {
			Item item `json:"Item,omitempty"`
		}{have})
		return http.StatusOK, out
	}
	e := expressions{names: in.ExpressionAttributeNames, values: in.ExpressionAttributeValues, used: map[string]bool{}}
	holds := e.condition(in.ConditionExpression, have)
	next := e.update(in.UpdateExpression, have)
	for name := range in.ExpressionAttributeNames {
		e.want(e.used[name], "name not used: "+name)
	}
	for name := range in.ExpressionAttributeValues {
		e.want(e.used[name], "value not used: "+name)
	}
	if e.wrong != "" {
		f.t.Error(e.wrong)
		return fail("ValidationException", e.wrong, nil)
	}
	if !holds {
		return fail("ConditionalCheckFailedException", "The conditional request failed", have)
	}
	next["id"] = text(id)
	f.items[id] = next
	return http.StatusOK, []byte("{}")
}

// expressions reads and carries out DynamoDB's expressions, but for all that
// is not used here.
type expressions struct {
	names  map[string]string
	values item
	used   map[string]bool
	wrong  string
	tokens []string
}

func (e *expressions) want(ok bool, what string) {
	if !ok && e.wrong == "" {
		e.wrong = what
	}
}

var tokenPattern = regexp.MustCompile(`\s*(\(|\)|,|<=|<|=|[#:.\w]+)`)

func (e *expressions) read(s string) {
	e.tokens = nil
	for s != "" {
		m := tokenPattern.FindStringSubmatch(s)
		if m == nil || !strings.HasPrefix(s, m[0]) {
			e.want(false, "cannot be read: "+s)
			return
		}
		e.tokens, s = append(e.tokens, m[1]), s[len(m[0]):]
	}
}

func (e *expressions) next() string {
	if len(e.tokens) == 0 {
		e.want(false, "the expression breaks off")
		return ""
	}
	s := e.tokens[0]
	e.tokens = e.tokens[1:]
	return s
}

func (e *expressions) peek(s string) bool { return len(e.tokens) > 0 && e.tokens[0] == s }

// path gives what a path names.
func (e *expressions) path(s string, have item) (attr, bool) {
	at, found := attr{M: have}, true
	for part := range strings.SplitSeq(s, ".") {
		name, known := e.names[part]
		e.want(known && strings.HasPrefix(part, "#"), "undefined name "+part)
		e.used[part] = true
		at, found = at.M[name]
		if !found {
			return attr{}, false
		}
	}
	return at, true
}

func (e *expressions) value(s string) attr {
	v, known := e.values[s]
	e.want(known && strings.HasPrefix(s, ":"), "undefined value "+s)
	e.used[s] = true
	return v
}

func (e *expressions) condition(s string, have item) bool {
	if s == "" {
		return true
	}
	e.read(s)
	holds := e.or(have)
	e.want(len(e.tokens) == 0, "more than a condition: "+s)
	return holds
}

func (e *expressions) or(have item) bool {
	holds := e.and(have)
	for e.peek("OR") {
		e.next()
		right := e.and(have)
		holds = holds || right
	}
	return holds
}

func (e *expressions) and(have item) bool {
	holds := e.term(have)
	for e.peek("AND") {
		e.next()
		right := e.term(have)
		holds = holds && right
	}
	return holds
}

func (e *expressions) term(have item) bool {
	switch s := e.next(); {
	case s == "(":
		holds := e.or(have)
		e.want(e.next() == ")", "a parenthesis is open")
		return holds
	case s == "attribute_not_exists":
		e.want(e.next() == "(", "no parenthesis")
		_, found := e.path(e.next(), have)
		e.want(e.next() == ")", "no parenthesis")
		return !found
	default:
		left, found := e.path(s, have)
		op := e.next()
		right := e.value(e.next())
		if !found {
			return false
		}
		a, aok := left.number()
		b, bok := right.number()
		switch {
		case aok && bok && op == "<":
			return a < b
		case aok && bok && op == "<=":
			return a <= b
		case op == "=":
			return aok == bok && a == b && left.text() == right.text()
		}
		e.want(false, "no such comparison: "+op)
		return false
	}
}

func (e *expressions) update(s string, have item) item {
	out := maps.Clone(have)
	if out == nil {
		out = item{}
	}
	e.read(s)
	seen := map[string]bool{}
	for len(e.tokens) > 0 && e.wrong == "" {
		clause := e.next()
		e.want(!seen[clause], "twice: "+clause)
		seen[clause] = true
		for more := true; more && e.wrong == ""; {
			name := e.next()
			e.path(name, have)
			e.want(!strings.Contains(name, "."), "paths are not changed here")
			switch clause {
			case "SET":
				e.want(e.next() == "=", "SET without =")
				out[e.names[name]] = e.value(e.next())
			case "ADD":
				old, _ := have[e.names[name]].number()
				more, ok := e.value(e.next()).number()
				e.want(ok, "ADD of no number")
				out[e.names[name]] = number(old + more)
			case "REMOVE":
				delete(out, e.names[name])
			default:
				e.want(false, "no such clause: "+clause)
			}
			if more = e.peek(","); more {
				e.next()
			}
		}
	}
	return out
}

// newTable is a Table on a fake.
func newTable(t *testing.T) (*Table, *fakeTable) {
	t.Helper()
	f := &fakeTable{t: t, items: map[string]item{}, calls: map[string]int{}}
	caller := newCaller(t, f)
	return &Table{Caller: caller, Name: "shuin", Random: random}, f
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// newCaller has AWS be a server on loopback, and waits for nothing.
func newCaller(t *testing.T, h http.Handler) *awscall.Caller {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "never-to-be-shown", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL": s.URL,
	} {
		t.Setenv(k, v)
	}
	return &awscall.Caller{UserAgent: "shuin/test", Now: time.Now, Wait: noWait}
}
