package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"html"
	"io"
	"strings"
	"time"
)

//go:embed repository_report.css
var reportStyle string

// markup is written as it stands; every other text on the page is escaped.
// Only constants are ever made one.
type markup string

// page writes HTML. It is not html/template, which finds methods by their
// names while it runs: the linker then keeps all there are, and the program is
// a quarter larger.
type page struct{ w *bufio.Writer }

// put writes markup as it is, and all else as text, which may be an attacker's.
func (p page) put(parts ...any) {
	for _, one := range parts {
		text, is := one.(markup)
		if !is {
			text = markup(html.EscapeString(visible(fmt.Sprint(one))))
		}
		_, _ = p.w.WriteString(string(text)) // an error stays, for Flush
	}
}

// writeReportHTML is one page that needs nothing else: no script, no address
// that a browser would fetch.
func writeReportHTML(w io.Writer, r *repositoryReport) error {
	p := page{bufio.NewWriter(w)}
	p.head(r)
	for _, repo := range r.Repositories {
		p.repository(r, repo)
	}
	p.put(markup("</body>\n</html>\n"))
	return p.w.Flush()
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (p page) head(r *repositoryReport) {
	p.put(markup(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Stages of pushed images, `), utc(r.Time), markup("</title>\n<style>\n"), markup(reportStyle), markup(`</style>
</head>
<body>
<h1>Stages of pushed images</h1>
<p class="note">Made `), utc(r.Time), ", policy ", markup("<code>"), r.Policy, markup("</code>, trust <code>"), r.Trust, markup("</code>, shuin "), r.Engine)
	if r.Where.Cluster != "" {
		p.put(", cluster ", r.Where.Cluster)
	}
	if r.Where.Namespace != "" {
		p.put(", namespace ", r.Where.Namespace)
	}
	p.put(markup(`.
✓ sealed (age of the seal), ✗ required and not sealed, - not sealed and not required, ? could not be checked, empty: no signature, and no rule that wants one.</p>
`))
}

func (p page) repository(r *repositoryReport, repo *reportedRepository) {
	p.put(markup("<h2>"), repo.Name, markup("</h2>\n<ul>"))
	for _, note := range repo.notes(r) {
		p.put(markup(`<li class="note">`), note, markup("</li>"))
	}
	p.put(markup("</ul>\n"))
	if len(repo.Images) == 0 {
		return
	}
	p.put(markup(`<div class="wide"><table>
<thead><tr><th scope="col">Tags</th><th scope="col">Digest</th><th scope="col">Pushed</th><th scope="col">Rule</th>`))
	for _, stage := range r.Stages {
		p.put(markup(`<th scope="col">`), stage, markup("</th>"))
	}
	p.put(markup(`<th scope="col">Signed by</th><th scope="col">Result</th></tr></thead>
<tbody>
`))
	for _, image := range repo.Images {
		p.image(r, image)
	}
	p.put(markup("</tbody></table></div>\n"))
}

func (p page) image(r *repositoryReport, i *reportedImage) {
	p.put(markup("<tr>\n<td>"), strings.Join(i.Tags, ", "))
	if len(i.Tags) == 0 {
		p.put(markup(`<span class="none">untagged</span>`))
	}
	if len(i.PlatformOf) > 0 {
		p.put(markup(`<br><span class="note">platform of`))
		for _, d := range i.PlatformOf {
			p.put(markup(" <code>"), d, markup("</code>"))
		}
		p.put(markup("</span>"))
	}
	p.put(markup("</td>\n<td><code>"), i.Digest, markup("</code>"))
	if len(i.Platforms) > 0 {
		p.put(markup("<details><summary>"), len(i.Platforms), " platforms", markup("</summary>"))
		for _, one := range i.Platforms {
			p.put(one.Platform, markup(" <code>"), one.Digest, markup("</code><br>"))
		}
		p.put(markup("</details>"))
	}
	if p.put(markup("</td>\n<td>")); i.Pushed != nil {
		p.put(reportStamp(i.Pushed), " (", shortAge(r.Time.Sub(*i.Pushed)), ")")
	} else {
		p.put(markup(`<span class="none">not known</span>`))
	}
	p.put(markup("</td>\n<td>"), i.Rule, markup("</td>\n"))
	for _, stage := range r.Stages {
		p.put(markup("<td"), stageClass(i, stage), markup(">"), i.mark(stage, r.Time))
		if s := i.stage(stage); s != nil && s.Reason != nil {
			p.put(markup(`<br><span class="note">`), s.Reason.Code, markup("</span>"))
		}
		p.put(markup("</td>\n"))
	}
	p.put(markup("<td>"), strings.Join(shortIdentities(i.SignedBy), ", "), markup("</td>\n<td"), outcomeClass(i.Outcome), markup(">"), i.result(), markup("\n"))
	p.details(i)
	p.put(markup("</td>\n</tr>\n"))
}

func (p page) details(i *reportedImage) {
	if i.Reason == nil && i.Exception == nil && len(i.Stages) == 0 {
		return
	}
	p.put(markup("<details><summary>details</summary>\n"))
	if e := i.Exception; e != nil {
		p.put(markup("<p>Exception until "), utc(e.Expires), ": ", e.Reason, " (owner ", e.Owner, markup(")</p>"))
	}
	if i.Reason != nil {
		p.put(markup("\n<p>"), i.Reason.Message)
		if i.Reason.Hint != "" {
			p.put(markup(`<br><span class="note">`), i.Reason.Hint, markup("</span>"))
		}
		p.put(markup("</p>"))
	}
	for n := range i.Stages {
		s := &i.Stages[n]
		p.put(markup("\n<p><b>"), s.Stage, markup("</b>: "), s.Outcome)
		if s.SignedBy != "" {
			p.put(", ", s.SignedBy)
		}
		if s.SealedAt != nil {
			p.put(", ", reportStamp(s.SealedAt))
		}
		if s.Reason != nil {
			p.put(": ", s.Reason.Message)
		}
		p.put(markup("</p>"))
	}
	p.put(markup("\n</details>"))
}

// stageClass is a cell's class: good, bad, open, or none.
func stageClass(i *reportedImage, stage string) markup {
	switch mark, _, _ := strings.Cut(i.mark(stage, time.Time{}), " "); mark {
	case "✓":
		return ` class="good"`
	case "✗":
		return ` class="bad"`
	case "?":
		return ` class="open"`
	}
	return ` class="none"`
}

func outcomeClass(outcome string) markup {
	switch outcome {
	case outcomeAdmit:
		return ` class="good"`
	case outcomeDeny:
		return ` class="bad"`
	}
	return ` class="open"`
}
