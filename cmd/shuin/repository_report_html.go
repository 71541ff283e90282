package main

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed repository_report.html
var reportPage string

// writeReportHTML is one page that needs nothing else: no script, no address
// that a browser would fetch.
func writeReportHTML(w io.Writer, r *repositoryReport) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"visible": visible,
		"stamp":   reportStamp,
		"utc":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"mark":    func(i *reportedImage, stage string) string { return i.mark(stage, r.Time) },
		"stage":   func(i *reportedImage, stage string) *reportedStage { return i.stage(stage) },
		"kind":    stageKind,
		"result":  func(i *reportedImage) string { return i.result() },
		"age":     func(t *time.Time) string { return shortAge(r.Time.Sub(*t)) },
		"short":   func(ids []string) string { return visible(strings.Join(shortIdentities(ids), ", ")) },
		"notes":   func(repo *reportedRepository) []string { return repo.notes(r) },
	}).Parse(reportPage)
	if err != nil {
		return err
	}
	return page.Execute(w, r)
}

// stageKind is a cell's class: good, bad, open, or none.
func stageKind(i *reportedImage, stage string) string {
	switch mark, _, _ := strings.Cut(i.mark(stage, time.Time{}), " "); mark {
	case "✓":
		return "good"
	case "✗":
		return "bad"
	case "?":
		return "open"
	}
	return "none"
}
