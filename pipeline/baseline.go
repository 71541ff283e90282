package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
)

// Excepted is one image that is to be excepted.
type Excepted struct {
	Repository string // "registry/repository"
	Digest     digest.Digest
	Reason     string // why it does not pass; one exception is written for each
	// Clusters and Namespaces bound the exception; empty: it holds anywhere.
	Clusters, Namespaces []string
}

// Baseline writes exceptions for images that do not pass today, in YAML: the
// member "exceptions" of a policy file, one entry for each reason and place.
// Every image is excepted by its digest, so that the list can only shrink. The
// same image twice is written once. Images, owner and end are checked as
// [Parse] checks them.
func Baseline(images []Excepted, owner string, expires time.Time) ([]byte, error) {
	type group struct {
		first  Excepted
		images []string
	}
	var groups []*group
	byKey := map[string]*group{}
	for _, one := range images {
		if one.Repository == "" || one.Digest.Validate() != nil {
			return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("image %q with digest %q cannot be excepted: both are needed", one.Repository, one.Digest)}
		}
		key := fmt.Sprintf("%q %q %q", one.Reason, one.Clusters, one.Namespaces)
		g := byKey[key]
		if g == nil {
			g = &group{first: one}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.images = append(g.images, one.Repository+"@"+one.Digest.String())
	}
	var b strings.Builder
	if len(groups) == 0 {
		return nil, nil
	}
	b.WriteString("exceptions:\n")
	for _, g := range groups {
		slices.Sort(g.images)
		b.WriteString("  - images:\n")
		for _, image := range slices.Compact(g.images) {
			b.WriteString("      - " + quoted(image) + "\n")
		}
		writeList(&b, "clusters", g.first.Clusters)
		writeList(&b, "namespaces", g.first.Namespaces)
		b.WriteString("    reason: " + quoted(g.first.Reason) + "\n")
		b.WriteString("    owner: " + quoted(owner) + "\n")
		b.WriteString("    expires: " + quoted(expires.UTC().Format(time.RFC3339)) + "\n")
	}
	text := b.String()
	if _, err := Parse([]byte(baselineFrame + text)); err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the exceptions cannot be part of a policy", Err: err}
	}
	return []byte(text), nil
}

// baselineFrame makes a policy of exceptions, in one line, to check them.
const baselineFrame = `rules: [{name: r, match: {images: ["**"]}, allow: {unsigned: true, because: r}}]` +
	"\napiVersion: " + APIVersion + "\nkind: " + Kind + "\n"

func writeList(b *strings.Builder, key string, list []string) {
	if len(list) == 0 {
		return
	}
	items := make([]string, len(list))
	for i, s := range list {
		items[i] = quoted(s)
	}
	b.WriteString("    " + key + ": [" + strings.Join(items, ", ") + "]\n")
}

// quoted is s as JSON writes it, which YAML reads alike.
func quoted(s string) string {
	out, err := jsontext.AppendQuote(nil, s)
	if err != nil { // not UTF-8: made so
		out, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return string(out)
}
