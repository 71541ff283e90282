package pipeline

import (
	_ "embed"
	"slices"
)

//go:embed pipeline-policy.schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of policy files, for editors. It
// refuses nothing that [Parse] accepts; what refers to something else in the
// file, Parse alone can tell.
func Schema() []byte { return slices.Clone(schema) }
