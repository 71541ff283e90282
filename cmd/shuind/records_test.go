package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRecordsThatNobodyReadsHoldNothingUp: a container runtime that restarts
// leaves a pipe that nobody reads. What is decided meanwhile is undecided, and
// readiness says why; all of it is within the time for one record.
func TestRecordsThatNobodyReadsHoldNothingUp(t *testing.T) {
	b := newClusterBench(t)
	in, out := io.Pipe()
	b.stdout = out
	b.write(t, "c.yaml", strings.Replace(clusterConfigText, "records: decisions.jsonl", `records: "-"`, 1))
	g := b.running(t)
	t.Cleanup(func() { _ = in.Close() })
	g.records.wait = 50 * time.Millisecond
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if a := review(t, g, "/k8s/validate", "shop", openImage); a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "recorded") {
				t.Errorf("what could not be recorded: %+v", a)
			}
		})
	}
	all.Wait()
	results, _ := g.ready.look(t.Context())
	if !slices.ContainsFunc(results, func(err error) bool { return errors.Is(err, errNotTaken) }) {
		t.Errorf("readiness says %v", results)
	}
	var read bytes.Buffer
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(&read, in)
	}()
	g.records.wait = time.Minute
	if a := review(t, g, "/k8s/validate", "shop", openImage); !a.Response.Allowed {
		t.Errorf("once somebody reads again: %+v", a)
	}
	if err := g.records.Close(); err != nil {
		t.Error(err)
	}
	_ = out.Close()
	<-gone
	lines := strings.Split(strings.TrimSuffix(read.String(), "\n"), "\n")
	var kinds []string
	for _, line := range lines {
		var one struct {
			Kind string
			Lost int
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		kinds = append(kinds, fmt.Sprint(one.Kind, " ", one.Lost))
	}
	// The first had begun before its time was over; the gap counts it with the others.
	if want := []string{"decision 0", "gap 8", "decision 0"}; !slices.Equal(kinds, want) {
		t.Errorf("recorded %v, want %v", kinds, want)
	}
}

// TestTheEndWaitsForRecordsForABoundedTime: for one that is being written, and
// not for one that nobody takes.
func TestTheEndWaitsForRecordsForABoundedTime(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	r, err := openRecords(recordsToStdout, out, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r.wait = 20 * time.Millisecond
	if err := r.write([]byte("{}")); !errors.Is(err, errNotTaken) {
		t.Errorf("a line that nobody takes: %v", err)
	}
	if err := r.Close(); !errors.Is(err, errNotTaken) {
		t.Errorf("the end, while it is not taken: %v", err)
	}
	if err := r.write([]byte("{}")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a line after the end: %v", err)
	}
	_ = in.Close()
	if err := r.Close(); err != nil {
		t.Errorf("the end, once it is: %v", err)
	}
}

// TestRecordsDoNotMix: each is a line, however many are written at a time.
func TestRecordsDoNotMix(t *testing.T) {
	var out bytes.Buffer // of one goroutine
	r, err := openRecords(recordsToStdout, &out, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r.wait = time.Minute
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := r.write([]byte(strings.Repeat(string(rune('a'+i%26)), 1000))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 50 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) != 1000 || strings.Trim(line, line[:1]) != "" {
			t.Errorf("a line is %q", line)
		}
	}
}
