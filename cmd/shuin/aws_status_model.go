package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/shuin/shuin"
)

// stackStatusType is the media type of `shuin aws status --output json`.
const stackStatusType = "application/vnd.shuin.aws-status.v1+json"

// partState is how a part of a stack is.
type partState string

const (
	partWell    partState = "well"
	partOff     partState = "off"     // the stack was deployed without it
	partMissing partState = "missing" // it is not there, or does not do its work
	partUnknown partState = "unknown" // AWS could not be asked
)

// stackStatus is what `shuin aws status` says. docs/deploy-aws.md documents it.
type stackStatus struct {
	MediaType string      `json:"mediaType"`
	Stack     string      `json:"stack"` // ARN
	AskedAt   time.Time   `json:"askedAt"`
	Result    partState   `json:"result"` // missing before unknown before well
	Parts     []stackPart `json:"parts"`
}

// stackPart is one part of it.
type stackPart struct {
	Name  string    `json:"name"`
	State partState `json:"state"`
	// Says is one line for people: what is so.
	Says string `json:"says"`
	ID   string `json:"id,omitempty"` // name, address or ARN on AWS
	// LastEvent is the hour in which the part last saw an event; absent: none
	// in the two weeks that AWS was asked about.
	LastEvent *time.Time `json:"lastEvent,omitempty"`
	Digest    string     `json:"digest,omitempty"`   // of the policy
	Messages  *int       `json:"messages,omitempty"` // in a queue, approximately
	// Code and Mend say what is wrong and what to do, where State is missing or
	// unknown.
	Code shuin.Code `json:"code,omitempty"`
	Mend string     `json:"mend,omitempty"`
}

func (s *stackStatus) count(state partState) int {
	n := 0
	for _, p := range s.Parts {
		if p.State == state {
			n++
		}
	}
	return n
}

// judge fills in the result.
func (s *stackStatus) judge() {
	switch s.Result = partWell; {
	case s.count(partMissing) > 0:
		s.Result = partMissing
	case s.count(partUnknown) > 0:
		s.Result = partUnknown
	}
}

// well, off, bad and unknown are the answers about a part.
func (p stackPart) well(says string) stackPart {
	p.State, p.Says = partWell, says
	return p
}

func (p stackPart) off(says string) stackPart {
	p.State, p.Says = partOff, says
	return p
}

func (p stackPart) bad(says, mend string) stackPart {
	p.State, p.Says, p.Mend = partMissing, says, mend
	return p
}

// failed is the answer where a question about the part failed.
func (p stackPart) failed(err error) stackPart {
	p.State, p.Code, p.Mend, p.Says = partUnknown, shuin.CodeOf(err), oneLine(shuin.HintOf(err)), oneLine(err.Error())
	if p.Code == shuin.CodeNotFound {
		p.State = partMissing
	}
	return p
}

// plural is "1 part" or "2 parts".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// printStackStatus prints the table, and below it what is wrong with each part
// that is not well, and what to do.
func (a *app) printStackStatus(s *stackStatus) error {
	var rows [][]string
	var below strings.Builder
	for _, p := range s.Parts {
		says := p.Says
		if p.State == partMissing || p.State == partUnknown {
			says = string(p.State) + ", see below"
			fmt.Fprintf(&below, "\n%s %s: %s\n", partMark(p.State), visible(p.Name), visible(p.Says))
			if p.Mend != "" {
				fmt.Fprintf(&below, "  %s\n", visible(p.Mend))
			}
		}
		rows = append(rows, []string{partMark(p.State) + " " + p.Name, says})
	}
	if err := a.rows([]string{"PART", "STATE"}, rows); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, below.String())
	return err
}

func partMark(s partState) string {
	switch s {
	case partWell:
		return "✓"
	case partOff:
		return "-"
	case partUnknown:
		return "?"
	}
	return "✗"
}
