package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// printChecked writes the answers in one of the formats.
func (a *app) printChecked(format string, inputs []*deployed, list []*checked) error {
	switch format {
	case "json":
		return writeJSON(a.stdout, checkedJSON(list))
	case "junit":
		return writeJUnit(a.stdout, a.checkSuites(inputs, list))
	case "sarif":
		return writeJSON(a.stdout, a.sarif(list))
	}
	if err := writeCheckTable(a.stdout, list); err != nil {
		return err
	}
	return a.writeCheckReasons(a.stdout, list)
}

// writeCheckTable is the table image × stage: a row for each image of each
// workload, a column for each stage that one of them has to have.
func writeCheckTable(w io.Writer, list []*checked) error {
	stages := stageColumns(list)
	table := newTable(w)
	fmt.Fprintln(table, strings.Join(append(append([]string{"WORKLOAD", "IMAGE", "RULE"}, stages...), "RESULT"), "\t"))
	for _, c := range list {
		seen := map[gate.Image]bool{}
		for i := range c.verdict.Images {
			v := &c.verdict.Images[i]
			if key := (gate.Image{Written: v.Image.Written, Running: v.Image.Running}); seen[key] {
				continue
			} else {
				seen[key] = true
			}
			row := []string{c.Source.String(), shortImage(v.Image.Written), orDash(v.Rule)}
			for _, s := range stages {
				row = append(row, stageMark(v, s))
			}
			for i, cell := range row {
				row[i] = visible(cell)
			}
			fmt.Fprintln(table, strings.Join(append(row, resultWord(v)), "\t"))
		}
	}
	return table.Flush()
}

// stageColumns are the stages that one image has to have, in the policy's order.
func stageColumns(list []*checked) []string {
	var names []string
	place := map[string]int{}
	required := map[string]bool{}
	for _, c := range list {
		for i := range c.verdict.Images {
			for _, s := range c.verdict.Images[i].Stages {
				if _, ok := place[s.Stage]; !ok {
					place[s.Stage] = len(names)
					names = append(names, s.Stage)
				}
				required[s.Stage] = required[s.Stage] || s.Required
			}
		}
	}
	var out []string
	for _, n := range names {
		if required[n] {
			out = append(out, n)
		}
	}
	return out
}

// stageMark says whether v has the stage: ✓ sealed, ✗ required and not sealed,
// ? could not be checked, - not asked for.
func stageMark(v *gate.ImageVerdict, stage string) string {
	for _, s := range v.Stages {
		if s.Stage != stage {
			continue
		}
		switch {
		case s.Outcome == shuin.Passed:
			return "✓"
		case !s.Required:
			return "-"
		case s.Outcome == shuin.Unknown:
			return "?"
		case s.Outcome == shuin.Failed:
			return "✗"
		}
	}
	return "-"
}

// resultWord is the answer about an image in a word or two.
func resultWord(v *gate.ImageVerdict) string {
	switch {
	case v.Outcome == pipeline.Admit && v.Exception != nil:
		return "admitted (exception)"
	case v.Outcome == pipeline.Admit:
		return "admitted"
	case v.Outcome == pipeline.Undecided && !v.LastGood.IsZero():
		return "undecided, allowed (last good answer)"
	case v.Outcome == pipeline.Undecided && v.Allowed:
		return "undecided, allowed"
	case v.Outcome == pipeline.Undecided:
		return "undecided"
	case v.Allowed:
		return "denied, allowed (" + modeName(v.Mode) + ")"
	}
	return "denied"
}

func modeName(m pipeline.Mode) string {
	switch m {
	case pipeline.Warn:
		return "warn"
	case pipeline.Audit:
		return "audit"
	}
	return "enforce"
}

// resultMark is the answer in one sign.
func resultMark(v *gate.ImageVerdict) string {
	switch {
	case v.Outcome == pipeline.Admit:
		return "✓"
	case v.Outcome == pipeline.Undecided:
		return "?"
	case v.Allowed:
		return "!"
	}
	return "✗"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shortImage is a reference with its digest cut to twelve digits, for a table.
func shortImage(s string) string {
	if i := strings.LastIndex(s, "@sha"); i >= 0 {
		if alg, hex, ok := strings.Cut(s[i+1:], ":"); ok && len(hex) > 12 {
			return s[:i] + "@" + alg + ":" + hex[:12] + "…"
		}
	}
	return s
}
