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
)

// recordsToStdout is what gate.records says in place of a file's name for the
// standard output: of a container, whose log somebody collects.
const recordsToStdout = "-"

// records is the file that every decision is written to, one line of JSON
// each, before it is told; or the standard output. It is only ever appended to.
// Safe for concurrent use. What is written is handed to the system, not forced
// to the disk.
type records struct {
	path   string
	stream io.Writer // in place of a file
	now    func() time.Time

	mu     sync.Mutex
	file   *os.File // nil: closed, or there is a stream
	torn   bool     // the last line is not whole
	failed error
	since  time.Time // of the first failure after a success
	lost   int       // decisions that could not be written since
}

// openRecords opens the file for appending; it is made, its owner's alone.
func openRecords(path string, stdout io.Writer, now func() time.Time) (*records, error) {
	r := &records{path: path, now: now}
	if path == recordsToStdout {
		r.stream = stdout
		return r, nil
	}
	if err := r.reopen(); err != nil {
		return nil, invalid("gate.records is a file in a directory that this user may write to", "records: %w", err)
	}
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
	r.mu.Lock()
	old := r.file
	r.file, r.torn = f, false
	r.mu.Unlock()
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
	r.mu.Lock()
	held, herr := r.file.Stat()
	r.mu.Unlock()
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

// write appends a line. Its error means that the line is not there.
func (r *records) write(line []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.mend()
	if err == nil {
		err = r.append(line)
	}
	if err != nil {
		if r.failed == nil {
			r.since = r.now()
		}
		r.failed = err
		r.lost++
		return err
	}
	return nil
}

// mend says what is missing, after a failure. The lock is held.
func (r *records) mend() error {
	if r.failed == nil {
		return nil
	}
	line, err := json.Marshal(gap{"gap", r.now().UTC(), r.since.UTC(), r.lost, oneLine(r.failed.Error())})
	if err == nil {
		err = r.append(line)
	}
	if err == nil {
		r.failed, r.lost = nil, 0
	}
	return err
}

func (r *records) append(line []byte) error {
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

// check says whether the next decision can be written, as far as can be told.
func (r *records) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mend()
}

func (r *records) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stream = nil // it is not ours to close
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
