package main

import "github.com/shuin/shuin/gate"

// checkedWorkload is an element of `check --output json`: a workload, where it
// was read, and the gate's verdict as every entrance writes it.
type checkedWorkload struct {
	Source  checkedSource `json:"source"`
	Verdict *gate.Verdict `json:"verdict"`
}

// checkedSource is where a workload was read. Lines are for files only.
type checkedSource struct {
	File           string `json:"file,omitempty"` // "-" is standard input
	TaskDefinition string `json:"taskDefinition,omitempty"`
	Service        string `json:"service,omitempty"`
	Document       int    `json:"document,omitempty"`
	Line           int    `json:"line,omitempty"`
	Kind           string `json:"kind"`
	Namespace      string `json:"namespace,omitempty"` // as written
	Name           string `json:"name,omitempty"`
}

func checkedJSON(list []*checked) []checkedWorkload {
	out := []checkedWorkload{}
	for _, c := range list {
		s := checkedSource{
			File: c.from.file, TaskDefinition: c.from.taskDefinition, Service: c.from.service,
			Kind: c.Kind, Namespace: c.Namespace, Name: c.Name,
		}
		if s.File != "" {
			s.Document, s.Line = c.Document, c.Line
		}
		out = append(out, checkedWorkload{Source: s, Verdict: c.verdict})
	}
	return out
}
