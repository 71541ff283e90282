package pipeline

import "strings"

// place is where a rule or an exception holds: in clusters of these names and
// namespaces of these names; an empty list is any, an unnamed one too.
type place struct {
	clusters, namespaces []string // globs over the whole name
}

func (p *place) anywhere() bool { return len(p.clusters)+len(p.namespaces) == 0 }

// holds says whether w lies in the place. What is not known lies in no list.
func (p *place) holds(w Where) bool {
	return Named(p.clusters, w.Cluster) && Named(p.namespaces, w.Namespace)
}

// Named says whether the name of a cluster or namespace is one of globs, in
// which "*" is any run of characters: so rules are held to their places, and
// who asks to theirs. An empty list is any name; one that is not known ("") is
// in no list.
func Named(globs []string, name string) bool {
	if len(globs) == 0 {
		return true
	}
	if name == "" {
		return false
	}
	for _, g := range globs {
		if glob(g, name) {
			return true
		}
	}
	return false
}

// inside says whether all of p lies in o.
func (p *place) inside(o *place) bool {
	return listInside(p.clusters, o.clusters) && listInside(p.namespaces, o.namespaces)
}

func listInside(a, b []string) bool {
	if len(b) == 0 {
		return true
	}
	if len(a) == 0 {
		return false
	}
	for _, x := range a {
		in := false
		for _, y := range b {
			in = in || covers(y, x)
		}
		if !in {
			return false
		}
	}
	return true
}

// overlaps says whether some place lies in both.
func (p *place) overlaps(o *place) bool {
	return listsOverlap(p.clusters, o.clusters) && listsOverlap(p.namespaces, o.namespaces)
}

func listsOverlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, x := range a {
		for _, y := range b {
			if globsOverlap(x, y) {
				return true
			}
		}
	}
	return false
}

// texts are the place in words, for reports.
func (p *place) texts() []string {
	var out []string
	if len(p.clusters) > 0 {
		out = append(out, "clusters "+strings.Join(p.clusters, ", "))
	}
	if len(p.namespaces) > 0 {
		out = append(out, "namespaces "+strings.Join(p.namespaces, ", "))
	}
	return out
}
