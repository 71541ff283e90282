package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// attribute is a value as DynamoDB's JSON has it, {"S": "x"}.
type attribute = map[string]any

// dynamoTable is a table of DynamoDB as the function uses one: GetItem and
// UpdateItem (SDK types GetItemInput, UpdateItemInput), each at once, by as
// many processes as may be. What is decided is written down.
type dynamoTable struct {
	mu    sync.Mutex
	items map[string]map[string]attribute
	// decided are the versions of each claim, in the order in which they were.
	decided map[string][]int64
}

// dynamoInput is what both operations take.
type dynamoInput struct {
	TableName                           string
	Key                                 map[string]attribute
	ConsistentRead                      bool
	UpdateExpression                    string
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]attribute
	ReturnValuesOnConditionCheckFailure string
}

// do carries out an operation; what the API would refuse is an error.
func (d *dynamoTable) do(operation string, in *dynamoInput) (status int, answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", operation, p)
		}
	}()
	id, _ := in.Key["id"]["S"].(string)
	if id == "" || len(in.Key) != 1 {
		panic("the key is not the table's")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	have := d.items[id]
	if operation == "GetItem" {
		if have == nil {
			return 200, map[string]any{}, nil
		}
		return 200, map[string]any{"Item": have}, nil
	}
	e := &expression{in: in, have: have}
	if in.ConditionExpression != "" && !e.condition(in.ConditionExpression) {
		return 400, map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "The conditional request failed", "Item": have}, nil
	}
	next := maps.Clone(have)
	if next == nil {
		next = map[string]attribute{"id": {"S": id}}
	}
	e.update(in.UpdateExpression, next)
	if claim, is := strings.CutPrefix(id, "claim/"); is && strings.HasPrefix(in.UpdateExpression, "SET #done") {
		d.decided[claim] = append(d.decided[claim], numberOf(next["done"]))
	}
	d.items[id] = next
	return 200, map[string]any{}, nil
}

// expression reads and carries out DynamoDB's expressions, as far as they are
// used ("Condition and filter expressions", "Update expressions", Amazon
// DynamoDB Developer Guide). It panics at what it does not know.
type expression struct {
	in     *dynamoInput
	have   map[string]attribute
	tokens []string
}

var expressionToken = regexp.MustCompile(`\(|\)|,|<=|<|=|[#:.\w]+`)

func (e *expression) next() string {
	if len(e.tokens) == 0 {
		panic("an expression breaks off")
	}
	s := e.tokens[0]
	e.tokens = e.tokens[1:]
	return s
}

// take takes the next token if it is s.
func (e *expression) take(s string) bool {
	if len(e.tokens) > 0 && e.tokens[0] == s {
		e.tokens = e.tokens[1:]
		return true
	}
	return false
}

func (e *expression) name(s string) string {
	name, ok := e.in.ExpressionAttributeNames[s]
	if !ok {
		panic("undefined name " + s)
	}
	return name
}

func (e *expression) value(s string) attribute {
	v, ok := e.in.ExpressionAttributeValues[s]
	if !ok {
		panic("undefined value " + s)
	}
	return v
}

// path is what "#a.#b" names; nil: nothing.
func (e *expression) path(s string) attribute {
	first, rest, deeper := strings.Cut(s, ".")
	at := e.have[e.name(first)]
	if deeper {
		m, _ := at["M"].(map[string]any)
		at, _ = m[e.name(rest)].(map[string]any)
	}
	return at
}

func (e *expression) condition(s string) bool {
	e.tokens = expressionToken.FindAllString(s, -1)
	holds := e.or()
	if len(e.tokens) > 0 {
		panic("more than a condition: " + s)
	}
	return holds
}

func (e *expression) or() bool {
	holds := e.and()
	for e.take("OR") {
		holds = e.and() || holds
	}
	return holds
}

func (e *expression) and() bool {
	holds := e.term()
	for e.take("AND") {
		holds = e.term() && holds
	}
	return holds
}

func (e *expression) term() bool {
	if e.take("(") {
		holds := e.or()
		if !e.take(")") {
			panic("a parenthesis is open")
		}
		return holds
	}
	if e.take("attribute_not_exists") {
		if !e.take("(") {
			panic("no parenthesis")
		}
		at := e.path(e.next())
		if !e.take(")") {
			panic("a parenthesis is open")
		}
		return at == nil
	}
	left, operator, right := e.path(e.next()), e.next(), e.value(e.next())
	if left == nil {
		return false
	}
	order := cmp.Compare(fmt.Sprint(left["S"]), fmt.Sprint(right["S"]))
	if right["N"] != nil {
		order = cmp.Compare(numberOf(left), numberOf(right))
	}
	return slices.Contains(map[string][]int{"<": {-1}, "<=": {-1, 0}, "=": {0}}[operator], order)
}

func (e *expression) update(s string, next map[string]attribute) {
	e.tokens = expressionToken.FindAllString(s, -1)
	for len(e.tokens) > 0 {
		clause := e.next()
		for more := true; more; more = e.take(",") {
			name := e.name(e.next())
			switch {
			case clause == "SET" && e.take("="):
				next[name] = e.value(e.next())
			case clause == "ADD":
				next[name] = attribute{"N": strconv.FormatInt(numberOf(e.have[name])+numberOf(e.value(e.next())), 10)}
			case clause == "REMOVE":
				delete(next, name)
			default:
				panic("it cannot be carried out: " + s)
			}
		}
	}
}

func numberOf(a attribute) int64 {
	s, _ := a["N"].(string)
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// strict decodes what has no members that are not known.
func strict(data []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
