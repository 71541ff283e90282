package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// writeBaseline writes the exceptions, and lists what gets none.
func (a *app) writeBaseline(list []*checked, o *policyBaselineOptions, expires time.Time) error {
	var images []pipeline.Excepted
	var helpless, undecided, anywhere, judged int
	told := map[string]bool{}
	for _, c := range list {
		for i := range c.verdict.Images {
			v := &c.verdict.Images[i]
			judged++
			switch {
			case v.Outcome == pipeline.Admit:
				continue
			case v.Outcome == pipeline.Deny && v.Digest() != "" && shuin.CodeOf(v.Err) != shuin.CodeInternal:
				images = append(images, exceptedImage(v, c.Workload.Where, o.reason))
				if c.Workload.Where == (pipeline.Where{}) {
					anywhere++
				}
				if code := shuin.CodeOf(v.Err); code == shuin.CodeRevoked || code == shuin.CodeTampered {
					a.warnf("an exception is written for what is %s: %s", code, a.imageLine(v))
				}
				continue
			case v.Outcome == pipeline.Undecided:
				undecided++
			default:
				helpless++
			}
			if line := a.imageLine(v); !told[line] {
				told[line] = true
				fmt.Fprintf(a.stderr, "no exception: %s (%s)\n", line, oneLine(c.place(i)))
			}
		}
	}
	text, err := pipeline.Baseline(images, o.owner, expires)
	if err != nil {
		return tooManyExcepted(images, err)
	}
	if _, err := a.stdout.Write(text); err != nil {
		return err
	}
	if anywhere > 0 {
		a.warnf("%s in no place that is known (--any-place): what is excepted of them may run in every cluster and namespace", count(anywhere, "image"))
	}
	switch {
	case undecided > 0:
		return &verdictError{err: &shuin.Error{Code: shuin.CodeUnavailable, Message: "could not check " + count(undecided, "image")}, undecided: true}
	case helpless > 0:
		return &shuin.Error{Code: shuin.CodeNotAllowed, Message: count(helpless, "image") + " would be denied, and an exception does not help"}
	case judged == 0:
		fmt.Fprintln(a.stderr, "There were no images: nothing was asked, and no exception is written.")
	case len(images) == 0:
		fmt.Fprintln(a.stderr, "Every image is admitted: no exception is needed.")
	}
	return nil
}

// tooManyExcepted is why exceptions cannot be written; what to do about it where
// a policy could not hold them.
func tooManyExcepted(images []pipeline.Excepted, err error) error {
	distinct := map[string]bool{}
	for _, i := range images {
		distinct[i.Repository+"@"+i.Digest.String()] = true
	}
	faults, _ := errors.AsType[document.Faults](err)
	for e := err; e != nil && len(faults) == 0 && len(distinct) <= limits.PolicyExceptions; e = errors.Unwrap(e) {
		if one, ok := e.(*shuin.Error); ok && one.Code == shuin.CodeLimit {
			return exceptedLimit(len(distinct))
		}
	}
	if len(distinct) > limits.PolicyExceptions {
		return exceptedLimit(len(distinct))
	}
	return err
}

func exceptedLimit(n int) error {
	return &shuin.Error{Code: shuin.CodeLimit,
		Message: fmt.Sprintf("%s would have to be excepted, more than a policy holds: %d of them (limit PolicyExceptions), in %d bytes (limit PolicyBytes)",
			count(n, "image"), limits.PolicyExceptions, limits.PolicyBytes),
		Hint: "split it: a policy of its own for each cluster, and a baseline of its own for each; or give the rule \"mode: warn\" until there are fewer"}
}

// exceptedImage is the exception for an image where it was judged.
func exceptedImage(v *gate.ImageVerdict, w pipeline.Where, reason string) pipeline.Excepted {
	ref, _ := shuin.ParseReference(v.Image.Written) // it was judged: it is one
	why := strings.TrimPrefix(v.Err.Error(), fmt.Sprintf("rule %q: ", v.Rule))
	e := pipeline.Excepted{Repository: ref.Name(), Digest: v.Digest(), Reason: cut(oneLine(reason+": "+why), limits.PolicyTextBytes/4)}
	if w.Cluster != "" {
		e.Clusters = []string{w.Cluster}
	}
	if w.Namespace != "" {
		e.Namespaces = []string{w.Namespace}
	}
	return e
}

// cut is at most n runes of s.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
