package gateapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
)

// document is the OpenAPI document as a tree.
func document(t *testing.T) map[string]any {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at walks a tree by keys.
func at(t *testing.T, v any, keys ...string) any {
	t.Helper()
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[k] == nil {
			t.Fatalf("the document has no %s", strings.Join(keys, " / "))
		}
		v = m[k]
	}
	return v
}

func TestTheDocumentHasEveryRouteAndError(t *testing.T) {
	d := document(t)
	if v := at(t, d, "openapi"); v != "3.1.0" {
		t.Errorf("version %v", v)
	}
	paths := at(t, d, "paths").(map[string]any)
	if len(paths) != len(routes) {
		t.Errorf("%d paths in the document, %d routes", len(paths), len(routes))
	}
	for path, route := range routes {
		for method, name := range route {
			if op := at(t, d, "paths", path, strings.ToLower(method)); at(t, op, "operationId") != name {
				t.Errorf("%s %s is called %v", method, path, at(t, op, "operationId"))
			}
		}
	}
	enum := at(t, d, "components", "schemas", "Error", "properties", "code", "enum").([]any)
	responses := at(t, d, "components", "responses").(map[string]any)
	if len(enum) != len(statuses) || len(responses) != len(statuses) {
		t.Errorf("%d codes and %d responses in the document, %d in the code", len(enum), len(responses), len(statuses))
	}
	for _, code := range Codes() {
		if !slices.Contains(enum, any(code)) {
			t.Errorf("the document has no code %s", code)
		}
		at(t, responses, code, "description")
		for _, path := range []string{"/v1/decide", "/v1/explain"} {
			if slices.Contains([]string{codeNoRoute, codeMethod, codeRight, codeStore, codeFull, codeStateFull, codeDuplicate, codeOlder, codeBusy, codeLost}, code) {
				continue
			}
			if ref := at(t, d, "paths", path, "post", "responses", strconv.Itoa(statuses[code]), "$ref"); ref != "#/components/responses/"+code {
				t.Errorf("%s: status %d is %v", path, statuses[code], ref)
			}
		}
	}
	var undecided []any
	for _, c := range []shuin.Code{shuin.CodeUnauthorized, shuin.CodeForbidden, shuin.CodeNotFound, shuin.CodeThrottled, shuin.CodeUnavailable, shuin.CodeRevocationUnavailable, shuin.CodeDeadline, shuin.CodeNotBegun} {
		if c.Undecided() {
			undecided = append(undecided, string(c))
		}
	}
	if got := at(t, d, "components", "schemas", "Reason", "properties", "code", "x-undecided"); !reflect.DeepEqual(got, undecided) {
		t.Errorf("codes of undecided: %v, want %v", got, undecided)
	}
	for _, name := range []string{timeoutParameter, timeoutHeader} {
		if !strings.Contains(string(openAPI), `"name": "`+name+`"`) {
			t.Errorf("the document has no parameter %s", name)
		}
	}
}

// TestTheDocumentHasEveryField compares with what is decoded and encoded.
func TestTheDocumentHasEveryField(t *testing.T) {
	d := document(t)
	for schema, v := range map[string]any{
		"Request": request{}, "RequestImage": requestImage{}, "Error": errorBody{}, "Explanation": explanation{}, "Signature": shuin.SignatureReport{},
		"ImageExplanation": *explainImage(rulesOf(t, policyText("")).Policy(), gate.Workload{}.Where, &gate.ImageVerdict{Image: gate.Image{Written: openImage}}, time.Now()),
	} {
		properties := at(t, d, "components", "schemas", schema, "properties").(map[string]any)
		typ, n := reflect.TypeOf(v), 0
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			n++
			if properties[name] == nil {
				t.Errorf("%s has no %s", schema, name)
			}
		}
		if schema == "Signature" {
			n++ // reason, which is written beside the fields
		}
		if n != len(properties) {
			t.Errorf("%s has %d members in the document and %d in the code", schema, len(properties), n)
		}
	}
}

// TestTheExamplesOfTheDocumentAreReal: requests are sent, answers are what the
// document says answers are.
func TestTheExamplesOfTheDocumentAreReal(t *testing.T) {
	d := document(t)
	w := newWorld(t)
	h := w.Handler()
	for _, path := range []string{"/v1/decide", "/v1/explain"} {
		example, err := json.Marshal(at(t, d, "paths", path, "post", "requestBody", "content", "application/json", "example"))
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, d, "Request", example)
		if a := do(t, h, post(path+"?timeout=1s", tokenCI, string(example))); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	verdict, err := json.Marshal(at(t, d, "paths", "/v1/decide", "post", "responses", "200", "content", gate.MediaTypeVerdict, "example"))
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, d, "Verdict", verdict)
	for code := range at(t, d, "components", "responses").(map[string]any) {
		example := at(t, d, "components", "responses", code, "content", "application/json", "example")
		body, err := json.Marshal(example)
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, d, "Error", body)
		if at(t, example, "code") != code {
			t.Errorf("the example of %s is of %v", code, at(t, example, "code"))
		}
	}
}

// TestWhatTheServerAnswersIsInTheDocument: admitted, denied, undecided and
// malformed images, with all there is to say of them.
func TestWhatTheServerAnswersIsInTheDocument(t *testing.T) {
	d := document(t)
	w := newWorld(t)
	h := w.Handler()
	body := about(openImage, deniedImage, slowImage, "NO REFERENCE", "registry.example/shop/app:v1")
	conforms(t, d, "Verdict", []byte(do(t, h, post("/v1/decide?timeout=1s", tokenCI, body)).body))
	a := do(t, h, post("/v1/explain?timeout=1s", tokenCI, body))
	if a.status != http.StatusOK || a.header.Get("Content-Type") != gate.MediaTypeExplanation {
		t.Fatalf("%d %s", a.status, a.body)
	}
	conforms(t, d, "Explanation", []byte(a.body))
	var e struct {
		Verdict struct{ Images []struct{ Rule string } }
		Images  []*struct {
			Rule  string
			Rules []struct {
				Name string
				Wins bool
				Why  string
			}
		}
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Images) != 5 || e.Images[3] != nil || e.Images[0].Rule != "open" || e.Verdict.Images[0].Rule != "open" || !e.Images[0].Rules[0].Wins || e.Images[1].Rules[0].Wins {
		t.Errorf("%s", a.body)
	}
	// What a verdict with everything in it looks like.
	full := &gate.Verdict{Outcome: 2, Policy: testDigest, Time: time.Now(), StaleUntil: time.Now(), Images: []gate.ImageVerdict{everything()}}
	text, err := full.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, d, "Verdict", text)
	for _, r := range []*http.Request{post("/v1/decide", "", body), post("/v1/decide", tokenShop, body), post("/x", tokenCI, body), post("/v1/decide", tokenCI, "{}")} {
		conforms(t, d, "Error", []byte(do(t, h, r).body))
	}
	var served any
	if err := json.Unmarshal([]byte(do(t, h, func() *http.Request { r := post("/v1/openapi.json", "", ""); r.Method = "GET"; return r }()).body), &served); err != nil || !reflect.DeepEqual(served, any(d)) {
		t.Errorf("the document that is served is another one: %v", err)
	}
}

// conforms says where a JSON text is not as a schema of the document has it.
func conforms(t *testing.T, d map[string]any, schema string, text []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, fault := range check(d, at(t, d, "components", "schemas", schema).(map[string]any), v, schema) {
		t.Errorf("%s\nin %s", fault, text)
	}
}

// check knows the keywords of JSON Schema that the document uses.
func check(d, s map[string]any, v any, where string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, where+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		next, ok := d["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
		if !ok {
			fault("no schema %s", ref)
			return faults
		}
		return check(d, next, v, where)
	}
	for key := range s {
		if !slices.Contains([]string{"type", "description", "properties", "required", "additionalProperties", "items", "enum", "const", "pattern", "format", "anyOf", "minItems", "maxItems", "minLength", "maxLength", "x-undecided"}, key) {
			fault("the test does not know the keyword %s", key)
		}
	}
	if alternatives, ok := s["anyOf"].([]any); ok {
		for _, one := range alternatives {
			if len(check(d, one.(map[string]any), v, where)) == 0 {
				return faults
			}
		}
		fault("none of the alternatives fits")
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		fault("%v is none of %v", v, enum)
	}
	if c, ok := s["const"]; ok && c != v {
		fault("%v is not %v", v, c)
	}
	switch v := v.(type) {
	case map[string]any:
		if s["type"] != "object" {
			fault("an object, not %v", s["type"])
		}
		properties, _ := s["properties"].(map[string]any)
		for name, value := range v {
			switch p, known := properties[name].(map[string]any); {
			case known:
				faults = append(faults, check(d, p, value, where+"."+name)...)
			case s["additionalProperties"] == false:
				fault("unknown member %s", name)
			}
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, there := v[name.(string)]; !there {
				fault("%s is missing", name)
			}
		}
	case []any:
		if s["type"] != "array" {
			fault("an array, not %v", s["type"])
			return faults
		}
		for i, one := range v {
			faults = append(faults, check(d, s["items"].(map[string]any), one, fmt.Sprintf("%s[%d]", where, i))...)
		}
	case string:
		if typ := s["type"]; typ != nil && typ != "string" {
			fault("a text, not %v", typ)
		}
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			fault("%q does not match %s", v, p)
		}
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, v); err != nil {
				fault("%v", err)
			}
		}
	case bool:
		if s["type"] != "boolean" {
			fault("a truth, not %v", s["type"])
		}
	case float64:
		if s["type"] != "integer" {
			fault("a number, not %v", s["type"])
		}
	case nil:
		if s["type"] != "null" {
			fault("null, not %v", s["type"])
		}
	}
	return faults
}
