package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/shuin/shuin/pipeline"
)

// printExplanation writes an explanation for a person.
func (a *app) printExplanation(e *pipeline.Explanation) error {
	image := e.Repository
	if e.Digest != "" {
		image += "@" + e.Digest.String()
	}
	rule := e.Rule
	switch {
	case rule == "":
		rule = "none matches: the default is " + e.Default
	case e.Pattern != "":
		rule += ", by " + e.Pattern
	}
	settings := ""
	if e.Mode != "" {
		settings = fmt.Sprintf("mode %s, tags %s, platforms %s, undecided %s", e.Mode, e.Tags, e.Platforms, e.Undecided)
	}
	if err := a.details([2]string{"Image", image}, [2]string{"Cluster", e.Where.Cluster}, [2]string{"Namespace", e.Where.Namespace},
		[2]string{"Rule", rule}, [2]string{"Wants", e.Wants}, [2]string{"Settings", settings}); err != nil {
		return err
	}
	var rules [][]string
	for _, r := range e.Rules {
		name := r.Name
		if r.Wins {
			name = "* " + name
		}
		rules = append(rules, []string{name, lineText(r.Line), orDash(r.Pattern), r.Why})
	}
	return firstError(a.section([]string{"RULE", "LINE", "PATTERN", "WHY"}, rules),
		a.section([]string{"EXCEPTION", "LINE", "OWNER", "EXPIRES", "WHY"}, exceptionRows(e)),
		a.section([]string{"STAGE", "LINE", "REQUIRED", "SIGNERS", "WANTS"}, stageRows(e)))
}

func exceptionRows(e *pipeline.Explanation) [][]string {
	var rows [][]string
	for _, x := range e.Exceptions {
		rows = append(rows, []string{x.Reason, lineText(x.Line), x.Owner, x.Expires.UTC().Format(time.RFC3339), x.Why})
	}
	return rows
}

func stageRows(e *pipeline.Explanation) [][]string {
	var rows [][]string
	for _, s := range e.Stages {
		required := "-"
		if s.Required {
			required = "yes"
		}
		var wants []string
		if s.MaxAge != "" {
			wants = append(wants, "at most "+s.MaxAge+" old")
		}
		if len(s.Metadata) > 0 {
			wants = append(wants, pairsText(s.Metadata))
		}
		rows = append(rows, []string{s.Name, lineText(s.Line), required, strings.Join(s.Signers, "; or "), orDash(strings.Join(wants, ", "))})
	}
	return rows
}

// section is a table after an empty line; nothing where it has no rows.
func (a *app) section(head []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return a.rows(head, rows)
}

func lineText(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
