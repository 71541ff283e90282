package main

import "fmt"

func (a *app) printTried(format string, all []triedFile) error {
	switch format {
	case "json":
		return writeJSON(a.stdout, all)
	case "junit":
		return writeJUnit(a.stdout, triedSuites(all))
	}
	for _, f := range all {
		var passed int
		for _, c := range f.Cases {
			if c.Passed {
				passed++
				continue
			}
			fmt.Fprintf(a.stdout, "✗ %s:%d: %s\n", oneLine(f.File), c.Line, oneLine(c.Name))
			for _, d := range c.Differences {
				fmt.Fprintf(a.stdout, "    %s\n", oneLine(d))
			}
		}
		if _, err := fmt.Fprintf(a.stdout, "%s: %d of %s passed\n", oneLine(f.File), passed, count(len(f.Cases), "case")); err != nil {
			return err
		}
	}
	return nil
}

// triedSuites are the cases as JUnit has them.
func triedSuites(all []triedFile) junitSuites {
	out := junitSuites{Name: "shuin policy test"}
	for _, f := range all {
		suite := junitSuite{Name: visible(f.File)}
		for _, c := range f.Cases {
			one := junitCase{ClassName: visible(f.File), Name: visible(c.Name), File: visible(f.File), Line: c.Line}
			if !c.Passed {
				one.Failure = &junitProblem{Message: oneLine(fmt.Sprint(c.Differences)), Type: "difference"}
				for _, d := range c.Differences {
					one.Failure.Text += oneLine(d) + "\n"
				}
			}
			suite.add(one)
		}
		out.add(suite)
	}
	return out
}
