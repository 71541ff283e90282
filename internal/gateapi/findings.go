package gateapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// findingsPath is where findings are told and listed.
const findingsPath = "/v1/findings"

// mediaTypeFindings is the media type of a page of findings.
const mediaTypeFindings = "application/vnd.shuin.findings.v1+json"

// receipt is what is answered to who tells of a finding: it is kept.
type receipt struct {
	ID    string `json:"id"`
	State string `json:"state"`
	New   bool   `json:"new"`   // it was not kept before
	Ended int    `json:"ended"` // states that it ended
}

// findingsPage is a page of findings.
type findingsPage struct {
	MediaType string       `json:"mediaType"`
	Findings  []watch.Kept `json:"findings"`
	Principal string       `json:"principal"` // who asked, as those who told are named
	Next      string       `json:"next,omitempty"`
}

// report takes a finding.
func (d *door) report(w http.ResponseWriter, q *asked, p *Principal) (answer, *failure) {
	if !p.Reports {
		return answer{}, newFailure(codeRight, fmt.Sprintf("principal %q may not tell of findings", p.Name), "set reports: true for it in the server's configuration (gate.principals), if it is a watcher of yours")
	}
	if f := findingType(q.http.Header); f != nil {
		return answer{}, f
	}
	if q.http.URL.RawQuery != "" {
		return answer{}, newFailure(codeInvalid, "read the request: "+findingsPath+" takes no query where a finding is told", "")
	}
	body, f := readUpTo(w, q.http, limits.FindingBytes, "FindingBytes", "send one finding in a request")
	if f != nil {
		return answer{}, f
	}
	one, err := watch.ParseFinding(body)
	if err != nil {
		return answer{}, misread(err)
	}
	q.finding = one.ID
	if f := p.mayTell(&one.Subject); f != nil {
		return answer{}, f
	}
	now := d.server.Now()
	if ahead := one.Time.Sub(now); ahead > limits.FindingAhead {
		return answer{}, newFailure(codeInvalid, fmt.Sprintf("read a finding: its time is %s ahead of this server's clock", ahead.Round(time.Second)), "set the clock of who sends it, or of the server: what is told later would count as older")
	}
	ctx, cancel := context.WithTimeout(q.http.Context(), limits.GateAPITimeout)
	defer cancel()
	became, err := d.server.Findings.Keep(ctx, one, p.Name, now)
	if err != nil {
		return answer{}, notKept(err)
	}
	out, err := json.Marshal(receipt{one.ID, one.State.String(), became.New, became.Ended})
	if err != nil {
		return answer{}, notKept(err)
	}
	a := answer{status: http.StatusOK, mediaType: mediaTypeJSON, body: out}
	if became.New {
		a.status = http.StatusCreated
	}
	return a, nil
}

// findingType lets findings pass, called that or JSON.
func findingType(h http.Header) *failure {
	if t, _, err := mime.ParseMediaType(h.Get("Content-Type")); err == nil && t == watch.MediaTypeFinding {
		h = h.Clone()
		h.Set("Content-Type", mediaTypeJSON)
	}
	return contentType(h)
}

// misread is what the reader of findings did not like.
func misread(err error) *failure {
	f := newFailure(codeInvalid, "read a finding: it cannot be read", "")
	if e, ok := errors.AsType[*shuin.Error](err); ok {
		f = newFailure(string(e.Code), e.Message, e.Hint)
	}
	if statuses[f.code] == 0 {
		f.code = codeInvalid
	}
	return f
}

// notKept is why a store of findings did not do what was asked of it.
func notKept(err error) *failure {
	f := newFailure(codeStore, "the findings cannot be read or written now", "try again; the server's log says more under this request's id")
	switch {
	case errors.Is(err, watch.ErrFull):
		f = newFailure(codeFull, fmt.Sprintf("no more findings are kept: %d of them, or %d MiB, are open", limits.FindingsKept, limits.FindingsBytes>>20),
			"see what tells of so many, and seal or except what they are about; what is over makes room")
	case errors.Is(err, watch.ErrPage):
		return newFailure(codeInvalid, "read the request: page is the beginning of no page", "leave page out for the first page, and send next of an answer for the one after it")
	}
	f.err = err
	return f
}

// mayTell says why a principal may not tell of a subject; nil: it may. Who may
// ask about a cluster may tell of it.
func (p *Principal) mayTell(s *watch.Subject) *failure {
	if p.sees(s.Cluster) {
		return nil
	}
	of := "of no cluster"
	if s.Cluster != "" {
		of = "of the cluster " + echo(s.Cluster)
	}
	f := newFailure(codePlace, fmt.Sprintf("principal %q %s, and this finding is %s", p.Name, p.sight(), of),
		"have the principal's clusters changed in the server's configuration (gate.principals); findings of task definitions, pushed images and the signer are of no cluster, and want anywhere: true")
	f.reason = "cluster"
	return f
}

// sees says whether findings of a cluster are a principal's: those it may ask
// about without naming a namespace, which they do not have.
func (p *Principal) sees(cluster string) bool {
	return p.Anywhere || len(p.Namespaces) == 0 && pipeline.Named(p.Clusters, cluster)
}

// sight says in words which findings are a principal's.
func (p *Principal) sight() string {
	if len(p.Namespaces) > 0 {
		return "is bound to namespaces, which findings do not have"
	}
	return "is bound to the clusters " + strings.Join(p.Clusters, ", ")
}

// list answers a page of what is kept.
func (d *door) list(q *asked, p *Principal) (answer, *failure) {
	query, f := findingsQuery(q.http, d.server.Now())
	if f != nil {
		return answer{}, f
	}
	if len(p.Namespaces) > 0 && !p.Anywhere {
		f := newFailure(codePlace, fmt.Sprintf("principal %q %s", p.Name, p.sight()), "ask as a principal with clusters, or with anywhere: true")
		f.reason = "namespace"
		return answer{}, f
	}
	if query.Cluster != "" {
		if f := p.outside(pipeline.Where{Cluster: query.Cluster}); f != nil {
			return answer{}, f
		}
	}
	if !d.shares.charge(p.Name, limits.FindingsListCost-1) {
		return answer{}, d.tooMany()
	}
	query.Sees = p.sees
	ctx, cancel := context.WithTimeout(q.http.Context(), limits.GateAPITimeout)
	defer cancel()
	page, err := d.server.Findings.Find(ctx, query)
	if err != nil {
		return answer{}, notKept(err)
	}
	out := findingsPage{mediaTypeFindings, page.Findings, p.Name, page.Next}
	if out.Findings == nil {
		out.Findings = []watch.Kept{}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return answer{}, notKept(err)
	}
	return answer{status: http.StatusOK, mediaType: mediaTypeFindings, body: body}, nil
}

// The parameters of a query.
const (
	parameterStatus  = "status"
	parameterID      = "id"
	parameterKind    = "kind"
	parameterRule    = "rule"
	parameterCluster = "cluster"
	parameterAccount = "account"
	parameterSince   = "since"
	parameterLimit   = "limit"
	parameterPage    = "page"
)

var findingsParameters = []string{parameterStatus, parameterID, parameterKind, parameterRule, parameterCluster, parameterAccount, parameterSince, parameterLimit, parameterPage}

// findingsQuery reads the query of a request: each parameter at most once, and
// no others.
func findingsQuery(r *http.Request, now time.Time) (q watch.Query, f *failure) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, newFailure(codeInvalid, "read the request: the query of its address is malformed", "")
	}
	for name, all := range values {
		switch {
		case !slices.Contains(findingsParameters, name):
			return q, newFailure(codeInvalid, "read the request: there is no query parameter "+echo(name), "there are "+strings.Join(findingsParameters, ", "))
		case len(all) != 1 || all[0] == "":
			return q, badMember(name, "is empty, or there more than once", "write it once, with a value, or leave it out")
		}
		if f := checkName(name, all[0]); f != nil {
			return q, f
		}
	}
	q = watch.Query{ID: values.Get(parameterID), Kind: watch.Kind(values.Get(parameterKind)), Rule: values.Get(parameterRule),
		Cluster: values.Get(parameterCluster), Account: values.Get(parameterAccount), Page: values.Get(parameterPage)}
	switch s := values.Get(parameterStatus); s {
	case "":
	case "open":
		q.Open = true
	case "resolved":
		q.Resolved = true
	default:
		return q, badMember(parameterStatus, "is "+echo(s), "it is open or resolved; without it findings are of both")
	}
	if s := values.Get(parameterLimit); s != "" {
		if q.Most, err = strconv.Atoi(s); err != nil || q.Most < 1 || q.Most > limits.FindingsPageMost {
			return q, badMember(parameterLimit, "is "+echo(s), fmt.Sprintf("a page has 1 to %d findings", limits.FindingsPageMost))
		}
	}
	if s := values.Get(parameterSince); s != "" {
		if q.Since, err = since(s, now); err != nil {
			return q, badMember(parameterSince, "is "+echo(s), "write a time as in 2026-03-01T12:00:00Z, or how long ago, as in 90m or 24h")
		}
	}
	return q, nil
}

// since is a time, or one that is so long ago.
func since(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Parse(time.RFC3339, s)
}
