package main

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/shuin/shuin"
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

// checkSuites are the answers as JUnit has them.
func (a *app) checkSuites(inputs []*deployed, list []*checked) junitSuites {
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
		all.add(suite)
	}
	return all
}

// writeJUnit writes JUnit's XML.
func writeJUnit(w io.Writer, all junitSuites) error {
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

func (s *junitSuites) add(one junitSuite) {
	s.Tests, s.Failures, s.Errors = s.Tests+one.Tests, s.Failures+one.Failures, s.Errors+one.Errors
	s.Suites = append(s.Suites, one)
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
	line := a.imageLine(v)
	switch {
	case v.Allowed:
		out.Output = line
	case v.Outcome == pipeline.Undecided:
		out.Error = &junitProblem{Message: line, Type: string(shuin.CodeOf(v.Err)), Text: line}
	default:
		out.Failure = &junitProblem{Message: line, Type: string(shuin.CodeOf(v.Err)), Text: line}
	}
	return out
}
