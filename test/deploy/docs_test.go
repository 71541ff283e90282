package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	assigned = regexp.MustCompile(`\b([A-Z][a-z][A-Za-z]+)=`)
	named    = regexp.MustCompile("(?m)^\\| (`[A-Z][A-Za-z]+`(?:, `[A-Z][A-Za-z]+`)*) \\|")
	quoted   = regexp.MustCompile("`([A-Za-z]+)`")
	file     = regexp.MustCompile("`(deploy/[a-z/]+\\.(?:yml|yaml))`")
	output   = regexp.MustCompile(`OutputKey=='([A-Za-z]+)'`)
)

// What the page tells people to type is in the templates.
func TestThePageNamesParametersAndFilesThatThereAre(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "docs", "deploy-aws.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	parameters, outputs := map[string]bool{}, map[string]bool{}
	for _, tmpl := range templates(t) {
		for name := range tmpl["Parameters"].(map[string]any) {
			parameters[name] = true
		}
		for name := range tmpl["Outputs"].(map[string]any) {
			outputs[name] = true
		}
	}
	var all []string
	for _, m := range assigned.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	for _, row := range named.FindAllStringSubmatch(text, -1) {
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			all = append(all, m[1])
		}
	}
	if len(all) < 25 {
		t.Fatalf("found only %d parameters in the page: the search is broken", len(all))
	}
	for _, name := range all {
		if !parameters[name] && name != "OutputKey" {
			t.Errorf("the page names the parameter %s, which no template has", name)
		}
	}
	for _, m := range output.FindAllStringSubmatch(text, -1) {
		if !outputs[m[1]] {
			t.Errorf("the page names the output %s, which no template has", m[1])
		}
	}
	files := file.FindAllStringSubmatch(text, -1)
	if len(files) < 3 {
		t.Errorf("found only %d files in the page", len(files))
	}
	for _, m := range files {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Error(err)
		}
	}
}
