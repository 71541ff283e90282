package main

import (
	"fmt"
	"io"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
)

// reasonLine is one line about an image, and the workloads it is true of.
type reasonLine struct {
	mark, text string
	first      string // where it stands
	more       int    // other places
}

// writeCheckReasons writes a line for each image that is not simply admitted:
// denied, undecided, admitted by an exception, or by a tag that may move.
func (a *app) writeCheckReasons(w io.Writer, list []*checked) error {
	lines := a.reasonLines(list)
	if len(lines) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	for _, l := range lines {
		where := l.first
		if l.more > 0 {
			where += ", and " + count(l.more, "more place")
		}
		if _, err := fmt.Fprintf(w, "%s %s (%s)\n", l.mark, l.text, oneLine(where)); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) reasonLines(list []*checked) []*reasonLine {
	var lines []*reasonLine
	known := map[string]*reasonLine{}
	for _, c := range list {
		for i := range c.verdict.Images {
			v := &c.verdict.Images[i]
			text := a.imageLine(v)
			if text == "" {
				continue
			}
			if l := known[text]; l != nil {
				l.more++
				continue
			}
			l := &reasonLine{mark: resultMark(v), text: text, first: c.place(i)}
			known[text] = l
			lines = append(lines, l)
		}
	}
	return lines
}

// imageLine is the gate's line about an image: what was decided, image, digest,
// rule, reason with its code, what to do next. Empty: it is admitted, and there
// is nothing to say.
func (a *app) imageLine(v *gate.ImageVerdict) string {
	if v.Err == nil && v.Exception == nil && !v.Unpinned {
		return ""
	}
	line := v.Line()
	if v.Err != nil && shuin.HintOf(v.Err) == "" {
		if hint := a.gateHint(v.Err); hint != "" {
			line += "; " + hint
		}
	}
	if v.Err == nil && v.Unpinned {
		line += "; judged by the digest that its tag has now, and may run another"
	}
	return oneLine(line)
}

// place is where the i-th image of the workload stands.
func (c *checked) place(i int) string {
	s := c.Source.String()
	if i < len(c.Places) {
		if name := c.verdict.Images[i].Image.Name; name != "" {
			s += ", container " + name
		}
		if c.from.file != "" {
			return fmt.Sprintf("%s:%d: %s", c.from.label(), c.Places[i].Line, s)
		}
	}
	return c.from.label() + ": " + s
}
