package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// reasonLine is one line about an image, and the workloads it is true of.
type reasonLine struct {
	mark, text, hint string
	first            string // where it stands
	more             int    // other places
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
		if _, err := fmt.Fprintf(w, "%s %s (%s)\n", l.mark, oneLine(l.text), oneLine(where)); err != nil {
			return err
		}
		if l.hint != "" {
			fmt.Fprintf(w, "  Hint: %s\n", oneLine(l.hint))
		}
	}
	return nil
}

func (a *app) reasonLines(list []*checked) []*reasonLine {
	var lines []*reasonLine
	for _, c := range list {
		for i := range c.verdict.Images {
			v := &c.verdict.Images[i]
			text := imageReason(v)
			if text == "" {
				continue
			}
			mark := resultMark(v)
			same := slices.IndexFunc(lines, func(l *reasonLine) bool { return l.text == text && l.mark == mark })
			if same >= 0 {
				lines[same].more++
				continue
			}
			l := &reasonLine{mark: mark, text: text, first: c.place(i)}
			if v.Err != nil {
				l.hint = a.gateHint(v.Err)
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// imageReason is what is to be said of an image, on one line: the image with
// its digest, the rule, and the reason with its code. Empty: it is admitted,
// and there is nothing to say.
func imageReason(v *gate.ImageVerdict) string {
	image := judgedImage(v)
	rule := "no rule matches"
	if v.Rule != "" {
		rule = "rule " + v.Rule
	}
	switch {
	case v.Err != nil:
		s := fmt.Sprintf("%s: %s: %s [%s]", image, rule, v.Err, shuin.CodeOf(v.Err))
		if v.Allowed && !v.LastGood.IsZero() {
			s += "; allowed: the answer was good on " + v.LastGood.UTC().Format(time.RFC3339)
		} else if v.Allowed && v.Outcome == pipeline.Undecided {
			s += "; allowed: the rule admits what could not be checked"
		} else if v.Allowed {
			s += "; allowed: the rule's mode is " + modeName(v.Mode)
		}
		return s
	case v.Exception != nil:
		e := v.Exception
		return fmt.Sprintf("%s: admitted by an exception until %s: %s (owner %s)", image, e.Expires.UTC().Format(time.RFC3339), e.Reason, e.Owner)
	case v.Unpinned:
		return fmt.Sprintf("%s: %s: judged by the digest that its tag has now, and may run another", image, rule)
	}
	return ""
}

// judgedImage is the reference as written, with the digest that was judged.
func judgedImage(v *gate.ImageVerdict) string {
	if d := v.Artifact.Descriptor().Digest; d != "" && v.Artifact.Written().Digest == "" {
		return v.Image.Written + "@" + d.String()
	}
	return v.Image.Written
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
