package main

import (
	"fmt"
	"slices"

	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// What the filters of a place may name.
var (
	tellOutcomes   = map[string]pipeline.Outcome{"deny": pipeline.Deny, "undecided": pipeline.Undecided, "admit": pipeline.Admit}
	tellKinds      = []watch.Kind{watch.NotAdmitted, watch.WrongPrincipal, watch.UnknownProfile, watch.NotAdmin, watch.RevokedBy, watch.BothDuties}
	tellSeverities = []watch.Severity{watch.High, watch.Medium, watch.Low}
)

func (t *tellConfig) validateFilters(d *decoder, at string) {
	for i, rule := range t.Rules {
		if rule == "" {
			d.at(fmt.Sprintf("%s.rules[%d]", at, i), "the name of a rule is wanted, \"*\" standing for any characters")
		}
	}
	for i, o := range t.Outcomes {
		if tellOutcomes[o] == 0 {
			d.at(fmt.Sprintf("%s.outcomes[%d]", at, i), "deny, undecided or admit (what is over) is wanted, not %q", o)
		}
	}
	for i, k := range t.Kinds {
		if !slices.Contains(tellKinds, watch.Kind(k)) {
			d.at(fmt.Sprintf("%s.kinds[%d]", at, i), "one of %v is wanted, not %q", tellKinds, k)
		}
	}
	for i, s := range t.Severities {
		if !slices.Contains(tellSeverities, watch.Severity(s)) {
			d.at(fmt.Sprintf("%s.severities[%d]", at, i), "one of %v is wanted, not %q", tellSeverities, s)
		}
	}
}

// route is the place with what it wants to hear.
func (t *tellConfig) route(to watch.Notifier) watch.Route {
	r := watch.Route{Notifier: to, Rules: t.Rules}
	for _, o := range t.Outcomes {
		r.Outcomes = append(r.Outcomes, tellOutcomes[o])
	}
	for _, k := range t.Kinds {
		r.Kinds = append(r.Kinds, watch.Kind(k))
	}
	for _, s := range t.Severities {
		r.Severity = append(r.Severity, watch.Severity(s))
	}
	return r
}
