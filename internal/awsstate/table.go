package awsstate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

// Table is a table of DynamoDB as a watch.Store. It has one key, the string
// "id", and "expires" as its attribute of time to live; nothing else is to be
// set up. What the items hold: docs/design/notify.md.
//
// Every change is one conditional UpdateItem, and every read is strongly
// consistent, so that any number of functions may share a table; a global
// table written to in several regions at once does not keep that promise.
// Needs dynamodb:GetItem and dynamodb:UpdateItem on the table.
type Table struct {
	Caller *awscall.Caller
	As     awscall.As
	Name   string // of the table, or its ARN
	// Random gives 16 random bytes as hexadecimal digits: names of claims.
	Random func() string
}

// What the items' ids begin with.
const (
	claimPrefix   = "claim/"
	findingPrefix = "finding/"
	countPrefix   = "count/"
	// ReactionsOffID is the id of the item that switches all reactions off, by
	// being there.
	ReactionsOffID = "reactions-off"
)

// attr is a value of an attribute as DynamoDB's JSON has it; one member is set.
type attr struct {
	S *string         `json:"S,omitempty"`
	N *string         `json:"N,omitempty"`
	M map[string]attr `json:"M,omitzero"`
}

type item map[string]attr

func text(s string) attr  { return attr{S: &s} }
func number(n int64) attr { s := strconv.FormatInt(n, 10); return attr{N: &s} }
func (a attr) text() string {
	if a.S == nil {
		return ""
	}
	return *a.S
}

// number is the attribute's number; false: it is none.
func (a attr) number() (int64, bool) {
	if a.N == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(*a.N, 10, 64)
	return n, err == nil
}

// Times are kept in milliseconds of Unix time, but for "expires": DynamoDB
// wants seconds there.
func millis(t time.Time) attr { return number(t.UnixMilli()) }
func (a attr) time() time.Time {
	n, ok := a.number()
	if !ok {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// update is one UpdateItem. The names in its expressions all begin with "#":
// most words that one would choose are reserved.
type update struct {
	id        string
	set       string // UpdateExpression
	condition string
	names     map[string]string
	values    item
}

// errCondition: the condition did not hold.
var errCondition = errors.New("the condition does not hold")

// update makes a change where its condition holds. It gives errCondition
// where it does not, and what there is in the item's place.
func (t *Table) update(ctx context.Context, doing string, u update) (item, error) {
	body, err := json.Marshal(struct {
		Table     string            `json:"TableName"`
		Key       item              `json:"Key"`
		Set       string            `json:"UpdateExpression"`
		Condition string            `json:"ConditionExpression,omitempty"`
		Names     map[string]string `json:"ExpressionAttributeNames,omitempty"`
		Values    item              `json:"ExpressionAttributeValues,omitempty"`
		OnFailure string            `json:"ReturnValuesOnConditionCheckFailure,omitempty"`
	}{t.Name, item{"id": text(u.id)}, u.set, u.condition, u.names, u.values, "ALL_OLD"}, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	_, err = t.Caller.Ask(ctx, t.As, t.call(doing, "UpdateItem", body))
	var service *awscall.ServiceError
	if !errors.As(err, &service) || service.Code != "ConditionalCheckFailedException" {
		return nil, err
	}
	var refused struct {
		Item item `json:"Item"`
	}
	if json.Unmarshal(service.Body, &refused) == nil && refused.Item != nil {
		return refused.Item, errCondition
	}
	have, err := t.get(ctx, doing, u.id)
	if err != nil {
		return nil, err
	}
	return have, errCondition
}

// get reads an item; nil where there is none.
func (t *Table) get(ctx context.Context, doing, id string) (item, error) {
	body, err := json.Marshal(struct {
		Table      string `json:"TableName"`
		Key        item   `json:"Key"`
		Consistent bool   `json:"ConsistentRead"`
	}{t.Name, item{"id": text(id)}, true})
	if err != nil {
		return nil, err
	}
	answer, err := t.Caller.Ask(ctx, t.As, t.call(doing, "GetItem", body))
	if err != nil {
		return nil, err
	}
	var got struct {
		Item item `json:"Item"`
	}
	if err := json.Unmarshal(answer.Body, &got); err != nil {
		return nil, &shuin.Error{Code: shuin.CodeMalformed, Message: doing + ": DynamoDB's answer is not what its API says", Err: err}
	}
	return got.Item, nil
}

func (t *Table) call(doing, operation string, body []byte) awscall.Call {
	return awscall.Call{
		Doing: doing, Title: "Amazon DynamoDB", Service: "dynamodb", ID: "DynamoDB", Protocol: awscall.JSON10,
		Target: "DynamoDB_20120810." + operation, Body: body, Large: true,
		Action: "dynamodb:" + operation, Resource: "table " + t.Name,
		NotFound: fmt.Sprintf("there is no table %q in this account and region; it has the string key \"id\", and \"expires\" as time to live", t.Name),
		Absent:   func(e *awscall.ServiceError) bool { return e.Code == "ResourceNotFoundException" },
	}
}

// seconds is a time as "expires" has it: rounded up, for what is kept is kept
// at least that long.
func seconds(t time.Time) attr { return number(t.Unix() + 1) }
