package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// anyOther is a cluster of a name that no list has, but for those that have
// every name.
const anyOther = "*"

// Clusters stand for every cluster that there can be, as far as the policy
// tells them apart for the repository ("registry/repository") in a namespace:
// what is so of an image in each of them is so wherever it runs. They are
// written as in the policy ("prod-*") and go into Where.Cluster as they are:
// a star in a name is matched by a star alone, and so by the patterns that
// match every name that it stands for. The last is "*": a cluster that no list
// names. One is enough ("*") where no rule or exception for the repository
// names clusters.
//
// That is complete: the rule that decides in a cluster is the best of all that
// match its name, by one pattern or more; in the cluster that one of these
// patterns stands for it matches too, and none but those that it is better
// than. What is excepted somewhere is so in the cluster of the exception's own
// pattern.
func (p *Policy) Clusters(repository, namespace string) []string {
	segments := strings.Split(repository, "/")
	var names []string
	var excepting []*place // of exceptions that name clusters
	add := func(pl *place) {
		if Named(pl.namespaces, namespace) {
			names = append(names, pl.clusters...)
		}
	}
	for i := range p.rules {
		if r := &p.rules[i]; len(r.place.clusters) > 0 && r.best(repository, segments) != nil {
			add(&r.place)
		}
	}
	exceptions := p.exceptions
	if p.added != nil { // those from outside of the document are as good
		exceptions = slices.Concat(exceptions, p.added.exceptions)
	}
	for i := range exceptions {
		e := &exceptions[i]
		if len(e.place.clusters) == 0 || !slices.ContainsFunc(e.images, func(x exceptedImage) bool { return x.matches(repository, segments) }) {
			continue
		}
		add(&e.place)
		excepting = append(excepting, &e.place)
	}
	return p.distinct(append(names, anyOther), repository, namespace, segments, excepting)
}

// distinct are those of names that differ in who decides or what is excepted;
// of those that do not, the first, but for the last of all.
func (p *Policy) distinct(names []string, repository, namespace string, segments []string, excepting []*place) (out []string) {
	seen, asked := map[string]bool{}, map[string]bool{}
	decides := func(name string) string {
		q := Question{Repository: repository, Where: Where{Cluster: name, Namespace: namespace}}
		r, _ := p.pick(q, segments)
		var key strings.Builder
		fmt.Fprintf(&key, "%p", r)
		for _, e := range excepting {
			fmt.Fprintf(&key, " %t", e.holds(q.Where))
		}
		return key.String()
	}
	last := names[len(names)-1]
	seen[decides(last)], asked[last] = true, true
	for _, name := range names {
		if asked[name] {
			continue
		}
		asked[name] = true
		if key := decides(name); !seen[key] {
			seen[key] = true
			out = append(out, name)
		}
	}
	return append(out, last)
}
