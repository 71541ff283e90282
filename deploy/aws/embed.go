// Package aws holds the CloudFormation templates of the AWS deploy kit, as the
// files that stand beside it: `shuin aws template` prints them.
//
// It reads nothing and asks AWS nothing; the templates are plain
// CloudFormation, without transforms or macros.
package aws

import "embed"

//go:embed *.yaml
var files embed.FS

// Template is one CloudFormation template.
type Template struct {
	Name  string // as `shuin aws template NAME` takes it, and the file without ".yaml"
	Title string // one line: what a stack of it is
}

// Templates are all there are, the one that is meant without a name first.
func Templates() []Template {
	return []Template{
		{"shuin", "the gate and the watch: function, queue, rules, state, alarms, hook role"},
		{"signing", "signing profiles of AWS Signer, and for each stage of a pipeline a role that signs with its own profile only"},
		{"ecr", "a repository of Amazon ECR with immutable tags, and who may push and pull"},
	}
}

// Read is the text of the template with that name; false where there is none.
func Read(name string) ([]byte, bool) {
	data, err := files.ReadFile(name + ".yaml")
	return data, err == nil
}
