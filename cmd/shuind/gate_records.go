package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
)

// recordsToStdout is what gate.records says in place of a file's name for the
// standard output: of a container, whose log somebody collects.
const recordsToStdout = "-"

// records is the file that every decision is written to, one line of JSON
// each, before it is told; or the standard output. It is only ever appended to,
// by one goroutine: who has something written waits for that for a bounded time,
// since nobody may read the standard output. Safe for concurrent use. What is
// written is handed to the system, not forced to the disk.
type records struct {
	path   string
	stream io.Writer // in place of a file
	now    func() time.Time
	wait   time.Duration // for one line

	asks   chan *recording
	ending chan struct{} // closed: nothing more is taken
	ended  chan struct{} // closed: the goroutine is gone
	closed sync.Once

	out  sync.Mutex // held while the file is used
	file *os.File   // nil: closed, or there is a stream
	torn bool       // the last line is not whole

	mu     sync.Mutex // held for a moment
	failed error
	since  time.Time // of the first failure after a success
	lost   int       // decisions that could not be written since
}

// recording is what the goroutine is to do.
type recording struct {
	line []byte     // nil: only to say what is missing
	done chan error // has room for one
}

// openRecords opens the file for appending; it is made, its owner's alone.
func openRecords(path string, stdout io.Writer, now func() time.Time) (*records, error) {
	r := &records{
		path: path, now: now, wait: limits.GateRecordTime,
		asks: make(chan *recording), ending: make(chan struct{}), ended: make(chan struct{}),
	}
	if path == recordsToStdout {
		r.stream = stdout
	} else if err := r.reopen(); err != nil {
		return nil, invalid("gate.records is a file in a directory that this user may write to", "records: %w", err)
	}
	go r.run()
	return r, nil
}

// reopen opens the file under its path anew, as after it was rotated away. On
// an error the old one stays.
func (r *records) reopen() error {
	if r.path == recordsToStdout {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, secretPerm)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", r.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.out.Lock()
	old := r.file
	r.file, r.torn = f, false
	r.out.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// follow reopens the file where another one, or none, is under its path now.
func (r *records) follow() (moved bool, err error) {
	if r.path == recordsToStdout {
		return false, nil
	}
	there, err := os.Stat(r.path)
	r.out.Lock()
	held, herr := r.file.Stat()
	r.out.Unlock()
	if err == nil && herr == nil && os.SameFile(there, held) {
		return false, nil
	}
	return true, r.reopen()
}

// gap is the line that says that decisions before it are missing.
type gap struct {
	Kind  string    `json:"kind"` // "gap"
	Time  time.Time `json:"time"`
	Since time.Time `json:"since"`
	Lost  int       `json:"lost"`
	Error string    `json:"error"`
}

// errNotTaken is that of a line that was not written in time. A part of it, or all,
// may be there later: the gap that follows it counts it.
var errNotTaken = errors.New("records: what reads them takes nothing")

// write appends a line. Its error means that the line is not there, as far as can
// be told.
func (r *records) write(line []byte) error {
	err := r.ask(line)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failed == nil {
			r.since = r.now()
		}
		r.failed = err
		r.lost++
	}
	return err
}

// check says whether the next decision can be written, as far as can be told.
func (r *records) check() error { return r.ask(nil) }

// ask has the goroutine write a line, and waits for that. A line that it did not
// begin to write in time is not written any more.
func (r *records) ask(line []byte) error {
	late := time.NewTimer(r.wait)
	defer late.Stop()
	a := &recording{line, make(chan error, 1)}
	select {
	case r.asks <- a:
	case <-r.ending:
		return os.ErrClosed
	case <-late.C:
		return errNotTaken
	}
	select {
	case err := <-a.done:
		return err
	case <-late.C:
		return errNotTaken
	}
}

// run writes what is asked for, in turn.
func (r *records) run() {
	defer close(r.ended)
	for {
		select {
		case a := <-r.asks:
			err := r.mend()
			if err == nil && a.line != nil {
				err = r.append(a.line)
			}
			a.done <- err
		case <-r.ending:
			return
		}
	}
}

// mend says what is missing, after a failure.
func (r *records) mend() error {
	r.mu.Lock()
	failed, since, lost := r.failed, r.since, r.lost
	r.mu.Unlock()
	if failed == nil {
		return nil
	}
	line, err := json.Marshal(gap{"gap", r.now().UTC(), since.UTC(), lost, oneLine(failed.Error())})
	if err == nil {
		err = r.append(line)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost -= lost; r.lost == 0 {
		r.failed = nil
	} else { // others waited for that line in vain
		r.since = r.now()
	}
	return nil
}

func (r *records) append(line []byte) error {
	r.out.Lock()
	defer r.out.Unlock()
	out := r.stream
	if r.file != nil {
		out = r.file
	}
	if out == nil {
		return os.ErrClosed
	}
	var b bytes.Buffer
	if r.torn {
		b.WriteByte('\n') // half a line stands alone, and is no JSON
	}
	b.Write(line)
	b.WriteByte('\n')
	n, err := out.Write(b.Bytes())
	if err != nil {
		r.torn = r.torn || n > 0
		return err
	}
	r.torn = false
	return nil
}

// Close takes no more lines and waits for the one that is being written, for a
// bounded time; where that is not enough the file, or the standard output, which
// is not ours to close, is left as it is.
func (r *records) Close() error {
	r.closed.Do(func() { close(r.ending) })
	late := time.NewTimer(r.wait)
	defer late.Stop()
	select {
	case <-r.ended:
	case <-late.C:
		return errNotTaken
	}
	r.out.Lock()
	defer r.out.Unlock()
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// decisionRecord is one line: one answer of the gate. Field by field it is in
// docs/gate.md.
type decisionRecord struct {
	Kind      string        `json:"kind"` // "decision"
	Time      time.Time     `json:"time"`
	Principal string        `json:"principal"`
	RequestID string        `json:"requestId"`
	Route     string        `json:"route"`
	Cluster   string        `json:"cluster,omitempty"`
	Namespace string        `json:"namespace,omitempty"`
	Pins      bool          `json:"pins"`
	Outcome   string        `json:"outcome"`
	Allowed   bool          `json:"allowed"`
	Policy    string        `json:"policy"`
	Engine    string        `json:"engine"`
	Images    []imageRecord `json:"images"`
}

type imageRecord struct {
	Name      string     `json:"name,omitempty"`
	Image     string     `json:"image"`
	Running   string     `json:"running,omitempty"`
	Digest    string     `json:"digest,omitempty"`
	Pinned    string     `json:"pinned,omitempty"`
	Unpinned  bool       `json:"unpinned,omitempty"`
	Outcome   string     `json:"outcome"`
	Allowed   bool       `json:"allowed"`
	Mode      string     `json:"mode"`
	Rule      string     `json:"rule"`
	Exception string     `json:"exception,omitempty"` // its reason and owner
	Code      shuin.Code `json:"code,omitempty"`
	Message   string     `json:"message,omitempty"`
	LastGood  *time.Time `json:"lastGood,omitempty"`
	Trust     string     `json:"trust,omitempty"`
}

func newRecord(c gateapi.Caller, w gate.Workload, v *gate.Verdict) *decisionRecord {
	r := &decisionRecord{
		Kind: "decision", Time: v.Time.UTC(), Principal: c.Principal, RequestID: c.RequestID, Route: c.Route,
		Cluster: w.Where.Cluster, Namespace: w.Where.Namespace, Pins: w.Pins,
		Outcome: v.Outcome.String(), Allowed: v.Allowed, Policy: v.Policy.String(), Engine: v.Engine,
		Images: make([]imageRecord, len(v.Images)),
	}
	for i := range v.Images {
		iv := &v.Images[i]
		one := imageRecord{
			Name: printable(iv.Image.Name), Image: printable(iv.Image.Written), Running: iv.Image.Running.String(),
			Digest: iv.Digest().String(), Pinned: iv.Pinned, Unpinned: iv.Unpinned,
			Outcome: iv.Outcome.String(), Allowed: iv.Allowed, Mode: iv.Mode.String(), Rule: iv.Rule,
			Code: shuin.CodeOf(iv.Err), Trust: iv.TrustHash.String(),
		}
		if iv.Err != nil {
			one.Message = oneLine(iv.Err.Error())
		}
		if e := iv.Exception; e != nil {
			one.Exception = oneLine(e.Reason + " (" + e.Owner + ")")
		}
		if !iv.LastGood.IsZero() {
			at := iv.LastGood.UTC()
			one.LastGood = &at
		}
		r.Images[i] = one
	}
	return r
}
