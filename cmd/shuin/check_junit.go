package main

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// The elements of JUnit's XML that CI systems read: a suite for each input, a
// case for each image of each workload.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	ClassName string        `xml:"classname,attr"`
	Name      string        `xml:"name,attr"`
	File      string        `xml:"file,attr,omitempty"`
	Line      int           `xml:"line,attr,omitempty"`
	Failure   *junitProblem `xml:"failure,omitempty"` // denied
	Error     *junitProblem `xml:"error,omitempty"`   // could not decide
	Output    string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes the answers as JUnit's XML.
func (a *app) writeJUnit(w io.Writer, inputs []*deployed, list []*checked) error {
	all := junitSuites{Name: "shuin check"}
	for _, in := range inputs {
		suite := junitSuite{Name: visible(in.label())}
		for _, c := range list {
			if c.from != in {
				continue
			}
			for i := range c.verdict.Images {
				suite.add(a.junitCaseOf(c, i))
			}
		}
		all.Tests, all.Failures, all.Errors = all.Tests+suite.Tests, all.Failures+suite.Failures, all.Errors+suite.Errors
		all.Suites = append(all.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Error != nil {
		s.Errors++
	}
	s.Cases = append(s.Cases, c)
}

func (a *app) junitCaseOf(c *checked, i int) junitCase {
	v := &c.verdict.Images[i]
	name := visible(v.Image.Written)
	if v.Image.Name != "" {
		name = visible(v.Image.Name) + ": " + name
	}
	out := junitCase{ClassName: visible(c.Source.String()), Name: name}
	if c.from.file != "" && c.from.file != "-" && i < len(c.Places) {
		out.File, out.Line = visible(c.from.file), c.Places[i].Line
	}
	reason := oneLine(imageReason(v))
	switch {
	case v.Allowed:
		out.Output = reason
	case v.Outcome == pipeline.Undecided:
		out.Error = a.junitProblemOf(v, reason)
	default:
		out.Failure = a.junitProblemOf(v, reason)
	}
	return out
}

func (a *app) junitProblemOf(v *gate.ImageVerdict, reason string) *junitProblem {
	p := &junitProblem{Message: reason, Type: string(shuin.CodeOf(v.Err)), Text: reason}
	if hint := a.gateHint(v.Err); hint != "" {
		p.Text += "\nHint: " + oneLine(hint)
	}
	return p
}
