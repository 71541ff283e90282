package main

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/pipeline"
)

// The parts of SARIF 2.1.0 that are written: one run, a rule for each reason's
// code, a result for each image there is something to say of.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool `json:"executionSuccessful"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string    `json:"id"`
	ShortDescription sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     string          `json:"level"` // error: may not run; warning: allowed all the same; note
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region struct {
		StartLine int `json:"startLine"`
	} `json:"region"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

// Rules of results that have no reason's code.
const (
	sarifException = "admitted-by-exception"
	sarifUnpinned  = "unpinned"
)

// sarif is the answers as SARIF.
func (a *app) sarif(list []*checked) sarifLog {
	run := sarifRun{Invocations: []sarifInvocation{{ExecutionSuccessful: true}}, Results: []sarifResult{}}
	version, _ := buildinfo.Version()
	run.Tool.Driver = sarifDriver{Name: "shuin", Version: version, Rules: []sarifRule{}}
	for _, c := range list {
		for i := range c.verdict.Images {
			v := &c.verdict.Images[i]
			text := a.imageLine(v)
			if text == "" {
				continue
			}
			id, level := sarifKind(v)
			run.Results = append(run.Results, sarifResult{
				RuleID: id, RuleIndex: run.Tool.Driver.rule(id), Level: level, Message: sarifText{text}, Locations: []sarifLocation{c.location(i)},
			})
		}
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// sarifKind is the rule and level of an image's result.
func sarifKind(v *gate.ImageVerdict) (id, level string) {
	switch {
	case v.Err != nil && !v.Allowed:
		return string(shuin.CodeOf(v.Err)), "error"
	case v.Err != nil && v.Outcome != pipeline.Admit:
		return string(shuin.CodeOf(v.Err)), "warning"
	case v.Exception != nil:
		return sarifException, "note"
	}
	return sarifUnpinned, "note"
}

// rule is the index of the rule of that name, which is added where it is new.
func (d *sarifDriver) rule(id string) int {
	if i := slices.IndexFunc(d.Rules, func(r sarifRule) bool { return r.ID == id }); i >= 0 {
		return i
	}
	d.Rules = append(d.Rules, sarifRule{ID: id, ShortDescription: sarifText{strings.ReplaceAll(id, "-", " ")}})
	return len(d.Rules) - 1
}

// location is the line of an image, or what it is called where there is none.
func (c *checked) location(i int) sarifLocation {
	l := sarifLocation{Logical: []sarifLogical{{FullyQualifiedName: visible(c.from.label() + ": " + c.Source.String()), Kind: "resource"}}}
	if c.from.file == "" || c.from.file == "-" || i >= len(c.Places) {
		return l
	}
	var p sarifPhysical
	p.Artifact.URI = fileURI(c.from.file)
	p.Region.StartLine = max(1, c.Places[i].Line)
	l.Physical = &p
	return l
}

// fileURI is a path as a URI reference: relative to where the command runs, as
// code scanning wants it, unless it is absolute.
func fileURI(path string) string {
	abs := filepath.IsAbs(path)
	path = filepath.ToSlash(filepath.Clean(path))
	if !abs {
		return (&url.URL{Path: path}).String()
	}
	if !strings.HasPrefix(path, "/") { // C:/…
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}
