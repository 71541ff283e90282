package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shuin/shuin"
)

// printRepositoryReport writes the report in one of the formats.
func (a *app) printRepositoryReport(format string, r *repositoryReport) error {
	switch format {
	case "json":
		return writeJSON(a.stdout, r)
	case "csv":
		return writeReportCSV(a.stdout, r)
	case "html":
		return writeReportHTML(a.stdout, r)
	}
	for i, repo := range r.Repositories {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		if err := writeReportTable(a.stdout, r, repo); err != nil {
			return err
		}
	}
	return nil
}

// writeReportTable is the table image × stage of one repository, and below it
// what is not in it.
func writeReportTable(w io.Writer, r *repositoryReport, repo *reportedRepository) error {
	fmt.Fprintln(w, repo.Name)
	if len(repo.Images) > 0 {
		table := newTable(w)
		fmt.Fprintln(table, strings.Join(slices.Concat([]string{"TAGS", "DIGEST", "PUSHED", "RULE"}, visibleAll(r.Stages), []string{"SIGNED BY", "RESULT"}), "\t"))
		for _, i := range repo.Images {
			row := []string{shortTags(i), shortDigest(i.Digest.String()), shortPush(i, r.Time), orDash(i.Rule)}
			for _, name := range r.Stages {
				row = append(row, i.mark(name, r.Time))
			}
			row = append(row, orDash(strings.Join(shortIdentities(i.SignedBy), ", ")), i.result())
			fmt.Fprintln(table, strings.Join(visibleAll(row), "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, line := range repo.notes(r) {
		if _, err := fmt.Fprintln(w, oneLine(line)); err != nil {
			return err
		}
	}
	return nil
}

func visibleAll(cells []string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = visible(c)
	}
	return out
}

// notes are the numbers, and what the list does not hold.
func (repo *reportedRepository) notes(r *repositoryReport) []string {
	c := repo.Counts
	line := fmt.Sprintf("%s with %s: %d admitted", count(c.Images, "image"), count(c.Tags, "tag"), c.Admitted)
	if c.Exceptions > 0 {
		line += fmt.Sprintf(" (%d by an exception)", c.Exceptions)
	}
	notes := []string{line + fmt.Sprintf(", %d denied, %d undecided", c.Denied, c.Undecided)}
	if r.UnsealedSince != nil {
		notes = append(notes, fmt.Sprintf("shown are the %d that lack something and were pushed before %s", len(repo.Images), r.UnsealedSince.Format(time.RFC3339)))
	}
	if c.PushUnknown > 0 {
		notes = append(notes, fmt.Sprintf("of %d of them the registry does not say when they were pushed", c.PushUnknown))
	}
	switch {
	case repo.TagsOnly != "":
		notes = append(notes, "images without a tag are not listed, nor when any was pushed: "+repo.TagsOnly)
	case repo.Listing == listsTags:
		notes = append(notes, "images without a tag are not listed: the registry's API lists tags only")
	}
	if c.PlatformImages > 0 {
		notes = append(notes, count(c.PlatformImages, "untagged image")+" of single platforms counted with their index (--each-platform shows them)")
	}
	if c.ReferrersTags > 0 {
		notes = append(notes, count(c.ReferrersTags, "tag")+" left out that hold what refers to an image")
	}
	if repo.Reason != nil {
		notes = append(notes, fmt.Sprintf("not reported on to the end: %s [%s]", repo.Reason.Message, repo.Reason.Code))
	}
	return notes
}

// stage is the answer about one stage; nil where it was not looked at.
func (i *reportedImage) stage(name string) *reportedStage {
	for n := range i.Stages {
		if i.Stages[n].Stage == name {
			return &i.Stages[n]
		}
	}
	return nil
}

// mark is a stage in one cell: ✓ sealed, with the seal's age where it is known,
// ✗ required and not sealed, - not sealed and not required, ? could not be
// checked; empty: not looked at.
func (i *reportedImage) mark(name string, now time.Time) string {
	s := i.stage(name)
	switch {
	case s == nil:
		return ""
	case s.Outcome == shuin.Passed && s.SealedAt != nil:
		return "✓ " + shortAge(now.Sub(*s.SealedAt))
	case s.Outcome == shuin.Passed:
		return "✓"
	case s.Outcome == shuin.Unknown:
		return "?"
	case s.Required:
		return "✗"
	}
	return "-"
}

// result is the answer in a few words.
func (i *reportedImage) result() string {
	word := map[string]string{outcomeAdmit: "admitted", outcomeDeny: "denied"}[i.Outcome]
	if word == "" {
		word = "undecided"
	}
	if i.Outcome != outcomeAdmit && i.Allowed {
		word += ", allowed"
	}
	switch {
	case i.Exception != nil:
		word += " (exception until " + i.Exception.Expires.UTC().Format(time.DateOnly) + ")"
	case i.Outcome == outcomeDeny && len(i.Missing) > 0:
		word += ": missing " + strings.Join(i.missingStages(), ", ")
	case i.Reason != nil:
		word += ": " + string(i.Reason.Code)
	}
	return word
}

// missingStages are the stages that lack a seal, with the reason where it is
// another than that there is none.
func (i *reportedImage) missingStages() []string {
	var out []string
	for _, name := range i.Missing {
		if s := i.stage(name); s != nil && s.Reason != nil && s.Reason.Code != shuin.CodeStageMissing {
			name += " (" + string(s.Reason.Code) + ")"
		}
		out = append(out, name)
	}
	return out
}

// shortTags are at most three tags.
func shortTags(i *reportedImage) string {
	switch n := len(i.Tags); {
	case n == 0 && len(i.PlatformOf) > 0:
		return "<platform>"
	case n == 0:
		return "<untagged>"
	case n > 3:
		return strings.Join(i.Tags[:3], ", ") + fmt.Sprintf(" +%d", n-3)
	}
	return strings.Join(i.Tags, ", ")
}

func shortDigest(d string) string {
	alg, hex, ok := strings.Cut(d, ":")
	if !ok {
		return "-"
	}
	return alg + ":" + hex[:min(len(hex), 12)]
}

func shortPush(i *reportedImage, now time.Time) string {
	if i.Pushed == nil {
		return "-"
	}
	return i.Pushed.Format(time.DateOnly) + " (" + shortAge(now.Sub(*i.Pushed)) + ")"
}

// shortAge is a duration as a person says it.
func shortAge(d time.Duration) string {
	switch {
	case d < 0:
		return "0m"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}

// shortIdentities are names for a table: a profile's name, a subject's CN.
func shortIdentities(ids []string) []string {
	var out []string
	for _, id := range ids {
		if _, name, ok := strings.Cut(id, "/signing-profiles/"); ok {
			id = name
		} else if i := strings.Index(id, "CN="); i >= 0 && (i == 0 || strings.ContainsRune(", :", rune(id[i-1]))) {
			id, _, _ = strings.Cut(id[i+len("CN="):], ",")
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// writeReportCSV is one line for each image (RFC 4180): the columns of each
// stage come last.
func writeReportCSV(w io.Writer, r *repositoryReport) error {
	out := csv.NewWriter(w)
	head := []string{
		"repository", "digest", "tags", "media_type", "pushed", "platform_of", "rule", "mode", "outcome", "allowed",
		"exception_until", "exception_owner", "missing", "reason_code", "reason", "signed_by", "signatures", "stale_until",
	}
	for _, s := range r.Stages {
		head = append(head, "stage "+s, "stage "+s+" signed_by", "stage "+s+" sealed_at")
	}
	if err := out.Write(harmless(head)); err != nil {
		return err
	}
	for _, repo := range r.Repositories {
		for _, i := range repo.Images {
			if err := out.Write(harmless(i.csvRow(repo.Name, r.Stages))); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (i *reportedImage) csvRow(repository string, stages []string) []string {
	var parents []string
	for _, d := range i.PlatformOf {
		parents = append(parents, d.String())
	}
	row := []string{
		repository, i.Digest.String(), strings.Join(i.Tags, " "), i.MediaType, reportStamp(i.Pushed), strings.Join(parents, " "),
		i.Rule, i.Mode, i.Outcome, strconv.FormatBool(i.Allowed),
	}
	if e := i.Exception; e != nil {
		row = append(row, reportStamp(&e.Expires), e.Owner)
	} else {
		row = append(row, "", "")
	}
	row = append(row, strings.Join(i.Missing, " "))
	if i.Reason != nil {
		row = append(row, string(i.Reason.Code), i.Reason.Message)
	} else {
		row = append(row, "", "")
	}
	row = append(row, strings.Join(i.SignedBy, "; "), strconv.Itoa(i.Signatures), reportStamp(i.StaleUntil))
	for _, name := range stages {
		s := i.stage(name)
		if s == nil {
			row = append(row, "", "", "")
			continue
		}
		row = append(row, s.word(), s.SignedBy, reportStamp(s.SealedAt))
	}
	return row
}

// word is the stage's answer: sealed, undecided, or the code of what is wrong.
func (s *reportedStage) word() string {
	switch {
	case s.Outcome == shuin.Passed:
		return "sealed"
	case s.Outcome == shuin.Unknown:
		return outcomeUndecided
	case s.Reason != nil:
		return string(s.Reason.Code)
	}
	return "missing"
}

func reportStamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// harmless keeps a spreadsheet from taking a cell for a formula: what comes
// from registries and certificates is text.
func harmless(row []string) []string {
	for n, cell := range row {
		cell = visible(cell)
		if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
			cell = "'" + cell
		}
		row[n] = cell
	}
	return row
}
