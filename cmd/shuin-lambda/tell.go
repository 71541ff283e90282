package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/notify"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// What the filters of a place may name.
var (
	tellOutcomes   = map[string]pipeline.Outcome{"deny": pipeline.Deny, "undecided": pipeline.Undecided, "admit": pipeline.Admit}
	tellKinds      = []watch.Kind{watch.NotAdmitted, watch.WrongPrincipal, watch.UnknownProfile, watch.NotAdmin, watch.RevokedBy, watch.BothDuties, watch.NotJudged}
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
			d.at(fmt.Sprintf("%s.outcomes[%d]", at, i), "deny, undecided or admit (what is over) is wanted, not %s", shown(o))
		}
	}
	for i, k := range t.Kinds {
		if !slices.Contains(tellKinds, watch.Kind(k)) {
			d.at(fmt.Sprintf("%s.kinds[%d]", at, i), "one of %v is wanted, not %s", tellKinds, shown(k))
		}
	}
	for i, s := range t.Severities {
		if !slices.Contains(tellSeverities, watch.Severity(s)) {
			d.at(fmt.Sprintf("%s.severities[%d]", at, i), "one of %v is wanted, not %s", tellSeverities, shown(s))
		}
	}
}

// route is the place with what it wants to hear. Who names every rule hears of
// what none matched too, and of the signer, which has none.
func (t *tellConfig) route(to watch.Notifier) watch.Route {
	r := watch.Route{Notifier: to}
	if !slices.Contains(t.Rules, "*") {
		r.Rules = t.Rules
	}
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

// teller makes the notifiers of a configuration.
type teller struct {
	settings *settings
	caller   *awscall.Caller
	secrets  *notify.Secrets
	stdout   io.Writer
}

func newTeller(s *settings, caller *awscall.Caller, env func(string) string, stdout io.Writer) *teller {
	return &teller{settings: s, caller: caller, stdout: stdout,
		secrets: &notify.Secrets{Getenv: env, Cloud: &notify.Cloud{Caller: caller}}}
}

// routes are the places that findings are sent to. Nothing is dialled and no
// secret read before there is something to tell.
func (t *teller) routes() ([]watch.Route, error) {
	var out []watch.Route
	for i := range t.settings.Tell {
		one := &t.settings.Tell[i]
		to, err := t.notifier(one)
		if err == nil {
			err = notify.CheckName(to.Name())
		}
		if err != nil {
			return nil, invalid("tell[%d] (%s): %w", i, one.kinds()[0], err)
		}
		out = append(out, one.route(to))
	}
	return out, nil
}

// notifier is one of them.
func (t *teller) notifier(c *tellConfig) (watch.Notifier, error) {
	label := cmp.Or(c.Name, c.kinds()[0])
	as := awscall.As{Region: c.Region, Role: c.Role}
	switch {
	case c.SNS != "":
		n := &notify.SNS{Caller: t.caller, As: as, Topic: c.SNS, Label: label}
		n.As.Region = cmp.Or(as.Region, regionOf(c.SNS))
		return n, n.Check()
	case c.EventBus != "":
		as.Region = cmp.Or(as.Region, regionOf(c.EventBus))
		return &notify.EventBridge{Caller: t.caller, As: as, Bus: c.EventBus, Label: label}, nil
	case c.Chat != (secretConfig{}):
		notify.Isolate()
		return &notify.Chat{Secrets: t.secrets, Address: t.secret(c.Chat), Label: label}, nil
	case c.Server != (serverConfig{}):
		n := &notify.Post{URL: c.Server.URL, Token: t.secret(c.Server.Token), Secrets: t.secrets, UserAgent: t.caller.UserAgent, Label: label}
		return n, n.Check()
	}
	return &notify.Log{W: t.stdout, Label: label}, nil
}

func (t *teller) secret(c secretConfig) notify.Secret {
	return notify.Secret{File: t.settings.path(c.File), Env: c.Env, Parameter: c.Parameter, SecretID: c.Secret}
}

// regionOf is the region in an ARN; empty for what is none.
func regionOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		return parts[3]
	}
	return ""
}
