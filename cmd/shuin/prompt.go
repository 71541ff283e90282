package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// interruptible waits for read as long as ctx lasts: a terminal or pipe may
// have nothing to say for ever. The reading itself is left behind.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value    T
		err      error
		panicked any
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.value, r.err = read()
	}()
	select {
	case r := <-done:
		if r.panicked != nil {
			panic(r.panicked)
		}
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// confirm asks a yes-or-no question on stdout and reads one line of stdin.
// yes answers it beforehand. Declining and end of input are both no error.
func (a *app) confirm(ctx context.Context, question string, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	fmt.Fprint(a.stdout, question, " [y/N] ")
	lines := bufio.NewScanner(a.stdin)
	if ok, err := interruptible(ctx, func() (bool, error) { return lines.Scan(), lines.Err() }); err != nil || !ok {
		return false, err
	}
	switch strings.ToLower(lines.Text()) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(a.stdout, "Operation cancelled.")
	return false, nil
}
