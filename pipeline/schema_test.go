package pipeline_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/pipeline"
)

func TestThePublishedSchemaIsTheOneInside(t *testing.T) {
	published, err := os.ReadFile("../docs/reference/pipeline-policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(published, pipeline.Schema()) {
		t.Error("docs/reference/pipeline-policy.schema.json differs from pipeline/pipeline-policy.schema.json: copy it")
	}
}

// beyondSchema are the faults that only the parser can tell: they are about
// two places of a file, about values inside a text, or about the bytes.
var beyondSchema = []string{
	"two documents", "a key twice",
	"everybody and somebody", "overlapping identities", "a profile among identities", "an identity without its attributes",
	"one profile here and there", "a signer twice", "level audit, enforced", "authenticity logged, enforced", "timestamps twice",
	"maxAge without time", "maxAge with some timestamps", "a maxAge of nothing",
	"two rules of one name",
	"an odd registry", "an undefined stage", "a stage almost defined", "no stages defined", "a stage twice",
	"at least too many", "too deep", "too few people",
	"two equal patterns", "two equally specific patterns", "places beside each other", "places that overlap",
}

const validator = `
import json, sys
import jsonschema
given = json.load(sys.stdin)
v = jsonschema.Draft202012Validator(given["schema"])
v.check_schema(given["schema"])
print(json.dumps([next((e.message for e in v.iter_errors(d)), "") for d in given["documents"]]))
`

// TestTheSchemaAndTheParserAgree holds the schema to the parser, over good and
// bad policies, by Python's validator.
func TestTheSchemaAndTheParserAgree(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import jsonschema; jsonschema.Draft202012Validator").Run() != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 with jsonschema is not installed (test/need.sh python3-jsonschema)")
		}
		t.Skip("python3 with jsonschema is not installed")
	}
	type file struct {
		name, text string
		good       bool
	}
	files := []file{{"every key", whole, true}, {"two stages", twoStages, true}}
	for _, name := range []string{"stages", "people"} {
		text, err := os.ReadFile("testdata/" + name + ".policy.yaml")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name, string(text), true})
	}
	for _, b := range badPolicies() {
		files = append(files, file{b.name, b.text, false})
	}
	var documents []any
	var kept []file
	for _, f := range files {
		docs, err := document.Read([]byte(f.text), document.Limits{})
		if err != nil || len(docs) != 1 {
			if f.good || !slices.Contains(beyondSchema, f.name) && len(docs) > 0 {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		}
		documents, kept = append(documents, plain(docs[0])), append(kept, f)
	}
	for i, message := range validate(t, python, documents) {
		f := kept[i]
		switch refused := message != ""; {
		case f.good && refused:
			t.Errorf("%s: the schema refuses what the parser accepts: %s", f.name, message)
		case !f.good && !refused && !slices.Contains(beyondSchema, f.name):
			t.Errorf("%s: the schema accepts what the parser refuses", f.name)
		case !f.good && refused && slices.Contains(beyondSchema, f.name):
			t.Errorf("%s is said to be beyond the schema, and the schema refuses it: %s", f.name, message)
		}
	}
}

func validate(t *testing.T, python string, documents []any) (messages []string) {
	t.Helper()
	in, err := json.Marshal(map[string]any{"schema": json.RawMessage(pipeline.Schema()), "documents": documents})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", validator)
	cmd.Stdin = bytes.NewReader(in)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &messages); err != nil || len(messages) != len(documents) {
		t.Fatalf("%v: %s", err, out)
	}
	return messages
}

// plain is a tree as encoding/json writes it.
func plain(n *document.Node) any {
	switch n.Kind {
	case document.Mapping:
		m := map[string]any{}
		for _, p := range n.Pairs {
			m[p.Key] = plain(p.Value)
		}
		return m
	case document.Sequence:
		list := []any{}
		for _, item := range n.Items {
			list = append(list, plain(item))
		}
		return list
	case document.String:
		return n.Text
	case document.Number:
		return json.RawMessage(n.Text)
	case document.Bool:
		return n.Text == "true"
	}
	return nil
}

// TestTheSchemaKnowsTheParsersKeys needs no validator: every key of a policy
// with all keys is in the schema, and the other way round.
func TestTheSchemaKnowsTheParsersKeys(t *testing.T) {
	var s struct {
		Properties map[string]any `json:"properties"`
		Defs       map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(pipeline.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	for where, keys := range map[string][]string{
		"":            {"apiVersion", "kind", "stages", "rules", "default", "exceptions", "signerAdmins"},
		"stage":       {"signers", "maxAge", "metadata", "principals"},
		"signer":      {"signingProfile", "identities", "trustStores", "verifyTimestamp", "signatureVerification"},
		"rule":        {"name", "match", "require", "allow", "mode", "tags", "platforms", "undecided"},
		"requirement": {"all", "any", "atLeast", "of"},
		"exception":   {"images", "clusters", "namespaces", "reason", "owner", "expires"},
	} {
		properties := s.Properties
		if where != "" {
			properties = s.Defs[where].Properties
		}
		if len(properties) != len(keys) {
			t.Errorf("%s: the schema has %d keys, want %v", where, len(properties), keys)
		}
		for _, k := range keys {
			if properties[k] == nil {
				t.Errorf("%s: the schema has no %s", where, k)
			}
		}
	}
}
