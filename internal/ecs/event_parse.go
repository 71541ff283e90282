package ecs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// Parse recognises a payload by its shape and reads it. The error is a
// *shuin.Error (CodeMalformed, CodeLimit) that says what is wrong and where:
// such a payload is no better the next time it comes. What is known, and needs
// nothing done, is KindIrrelevant with its reason, and no error.
//
// Names are taken in the spelling AWS writes, and no name twice. Members that
// nothing here uses are AWS's to add.
func Parse(payload []byte) (Event, error) {
	if len(payload) > limits.EventBytes {
		return Event{}, tooMuch("the payload", len(payload), "bytes", limits.EventBytes, "EventBytes")
	}
	members, err := object("", payload)
	if err != nil {
		return Event{}, err
	}
	s, err := shapeOf(members)
	if err != nil {
		return Event{}, err
	}
	return s.read(payload, members)
}

// ParseMessage is Parse for a message of a queue or topic, which holds an event
// of EventBridge, or that in an envelope of Amazon SNS: hooks, jobs and batches
// come straight.
func ParseMessage(body []byte) (Event, error) { return parseMessage("body", body, true) }

// ProbablyHook reports whether a payload that Parse refuses looks like a
// lifecycle hook of ECS, by its own members: somebody waits for its answer all
// the same. What only quotes one, deeper down, does not.
func ProbablyHook(payload []byte) (found bool) {
	d := jsontext.NewDecoder(bytes.NewReader(payload), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for {
		name, err := d.ReadToken()
		if err != nil || name.Kind() != '"' {
			return found
		}
		switch name.String() {
		case "detail-type":
			return false
		case "executionDetails", "targetServiceRevisionArn", "lifecycleStage":
			found = true
		}
		if d.SkipValue() != nil {
			return found // as far as it can be read
		}
	}
}

// shape is how a payload is known.
type shape struct {
	name    string
	members []string // any of them
	read    func(payload []byte, members map[string]jsontext.Value) (Event, error)
}

func shapes() []shape {
	return []shape{
		{"a lifecycle hook of ECS", []string{"executionDetails", "targetServiceRevisionArn", "lifecycleStage"}, parseHook},
		{"a lifecycle hook of CodeDeploy", []string{"LifecycleEventHookExecutionId", "DeploymentId"}, parseCodeDeploy},
		{"a job of CodePipeline", []string{"CodePipeline.job"}, parseCodePipeline},
		{"an event of EventBridge", []string{"detail-type"}, func(p []byte, _ map[string]jsontext.Value) (Event, error) { return parseEnvelope("", p) }},
		{"a batch", []string{"Records"}, parseBatch},
		{"a question of Shuin's", []string{"shuin"}, parseOwn},
	}
}

func shapeOf(members map[string]jsontext.Value) (shape, error) {
	var found []shape
	for _, s := range shapes() {
		if slices.ContainsFunc(s.members, func(name string) bool { return members[name] != nil }) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return shape{}, malformed("", "none of the known shapes: a lifecycle hook of ECS or CodeDeploy, a job of CodePipeline, an event of EventBridge, a batch of SQS or SNS")
	case 1:
		return found[0], nil
	}
	return shape{}, malformed("", "it looks like %s and like %s: which of them it is, is not clear", found[0].name, found[1].name)
}

// object reads a JSON object's members, unread; all of it is held to JSON's
// rules, and no name may be there twice.
func object(at string, data []byte) (map[string]jsontext.Value, error) {
	if err := checkDepth(at, data); err != nil {
		return nil, err
	}
	var members map[string]jsontext.Value
	if err := decode(at, data, &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, malformed(at, "null: a JSON object is wanted")
	}
	return members, nil
}

// checkDepth holds the nesting of JSON to a bound before anything recurses.
func checkDepth(at string, data []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limits.EventDepth {
				return tooMuch(named(at, "the payload"), depth, "levels deep", limits.EventDepth, "EventDepth")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// decode reads one of AWS's shapes at a place of the payload.
func decode(at string, data []byte, into any, options ...json.Options) error {
	err := json.Unmarshal(data, into, options...)
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return malformed(under(at, semantic.JSONPointer), "there is no such member")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return malformed(under(at, syntax.JSONPointer), "it is there twice")
	case errors.As(err, &syntax):
		return malformed(under(at, syntax.JSONPointer), "it is not JSON, at byte %d", syntax.ByteOffset)
	case errors.As(err, &semantic):
		return malformed(under(at, semantic.JSONPointer), "it is of another type than AWS documents (%s)", kindName(semantic.JSONKind))
	}
	return malformed(at, "it cannot be read")
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 'n':
		return "null"
	}
	return "true or false"
}

// under is the place that a JSON pointer names below at.
func under(at string, p jsontext.Pointer) string {
	for token := range p.Tokens() {
		token = awscall.Printable(token, 100)
		switch {
		case token != "" && strings.Trim(token, "0123456789") == "":
			at += "[" + token + "]"
		case at == "":
			at = token
		default:
			at += "." + token
		}
	}
	return awscall.Printable(at, 300)
}

func malformed(at, format string, args ...any) error {
	text := "read the event: "
	if at != "" {
		text += at + ": "
	}
	return &shuin.Error{Code: shuin.CodeMalformed, Message: text + fmt.Sprintf(format, args...)}
}

func tooMuch(what string, got int, of string, most int, limit string) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("read the event: %s: %d %s, more than %d (limit %s)", what, got, of, most, limit)}
}

func named(at, otherwise string) string {
	if at == "" {
		return otherwise
	}
	return at
}

// text is one string of an event, with its place.
type text struct{ at, value string }

// check holds strings that have to be there to that and to their bound.
func check(all ...text) error {
	for _, t := range all {
		if t.value == "" {
			return malformed(t.at, "missing or empty")
		}
	}
	return bounded(all...)
}

// bounded holds strings that may be missing to their bound.
func bounded(all ...text) error {
	for _, t := range all {
		if len(t.value) > limits.EventStringBytes {
			return tooMuch(t.at, len(t.value), "bytes", limits.EventStringBytes, "EventStringBytes")
		}
	}
	return nil
}

// moment reads a time of an event.
func moment(at, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 2000 || t.Year() > 9000 {
		return time.Time{}, malformed(at, "%q is no time (RFC 3339)", awscall.Printable(s, 60))
	}
	return t.UTC(), nil
}

// parseOwn reads what Shuin's own tools send: {"shuin":"sweep"}, and
// {"shuin":"decide","images":[{"name":…,"image":…,"running":…}],"cluster":…}.
func parseOwn(payload []byte, _ map[string]jsontext.Value) (Event, error) {
	var in struct {
		Shuin  string `json:"shuin"`
		Images []struct {
			Name    string `json:"name"`
			Image   string `json:"image"`
			Running string `json:"running"`
		} `json:"images"`
		Cluster string `json:"cluster"`
	}
	if err := decode("", payload, &in, json.RejectUnknownMembers(true)); err != nil {
		return Event{}, err
	}
	switch {
	case in.Shuin == "sweep" && len(in.Images) == 0 && in.Cluster == "":
		return Event{Kind: KindSweep, What: "sweep"}, nil
	case in.Shuin != "decide":
		return Event{}, malformed("shuin", `%q: it is "decide" with images, or "sweep" alone`, awscall.Printable(in.Shuin, 60))
	case len(in.Images) == 0:
		return Event{}, malformed("images", "missing or empty: there is nothing to decide")
	case len(in.Images) > limits.EventContainers:
		return Event{}, tooMuch("images", len(in.Images), "images", limits.EventContainers, "EventContainers")
	}
	w := &gate.Workload{Where: pipeline.Where{Cluster: in.Cluster}}
	for i, one := range in.Images {
		image, err := imageOf(index("images", i), one.Name, one.Image, one.Running)
		if err != nil {
			return Event{}, err
		}
		if image.Written == "" {
			return Event{}, malformed(index("images", i)+".image", "missing or empty")
		}
		w.Images = append(w.Images, image)
	}
	return Event{Kind: KindDecide, What: "decide", Decide: w}, bounded(text{"cluster", in.Cluster})
}

func index(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }
