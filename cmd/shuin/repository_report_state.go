package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// mediaTypeReportState is of the file of --state: JSON lines, of which the
// first says what the report is of. Each line is appended whole, in one write; of
// a process that was killed at most the last is torn, and passed over.
const mediaTypeReportState = "application/vnd.shuin.report-state.v1+json"

// reportState keeps what was found, in memory and in the file. A nil one keeps
// nothing. Safe for concurrent use.
type reportState struct {
	path string
	note string // what the user should know

	mu     sync.Mutex
	file   *os.File
	tags   map[[2]string]shuin.Descriptor // by repository and tag
	images map[[2]string]reportedAnswer   // by repository and digest
}

// stateHead is what answers depend on: those of another report are not used.
type stateHead struct {
	MediaType string         `json:"mediaType"`
	Policy    digest.Digest  `json:"policy"`
	Trust     digest.Digest  `json:"trust"`
	Engine    string         `json:"engine"`
	Where     pipeline.Where `json:"where"`
}

// stateLine is what was found, one thing a line.
type stateLine struct {
	Repository string            `json:"repository"`
	Tag        string            `json:"tag,omitempty"`
	Names      *shuin.Descriptor `json:"names,omitempty"` // what the tag does
	Digest     digest.Digest     `json:"digest,omitempty"`
	Answer     *reportedAnswer   `json:"answer,omitempty"`
}

// stateFirst is the first line.
type stateFirst struct {
	stateHead
	Began time.Time `json:"began"`
}

// openReportState reads the file, or begins it. It is refused where it is of
// another policy, trust, place or version, and begun anew where it is too old.
func openReportState(path string, head *repositoryReport, now time.Time) (*reportState, error) {
	if path == "" {
		return nil, nil
	}
	s := &reportState{path: path, tags: map[[2]string]shuin.Descriptor{}, images: map[[2]string]reportedAnswer{}}
	of := stateHead{MediaType: mediaTypeReportState, Policy: head.Policy, Trust: head.Trust, Engine: head.Engine, Where: head.Where}
	fail := func(err error) (*reportState, error) {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "state file " + path, Err: err, Hint: "remove it to begin anew, or name another with --state"}
	}
	end, began, err := s.load(of)
	if err != nil {
		return fail(err)
	}
	if !began.IsZero() && (now.Sub(began) > limits.ReportStateLife || began.After(now.Add(limits.ClockSkew))) {
		s.note = fmt.Sprintf("%s is of %s: the report is begun anew", path, began.UTC().Format(time.RFC3339))
		clear(s.tags)
		clear(s.images)
		end = 0
	}
	if s.file, err = openAppend(path, end); err != nil {
		return fail(err)
	}
	if end == 0 {
		if err := s.append(stateFirst{of, now.UTC()}); err != nil {
			return fail(errors.Join(err, s.closeFile()))
		}
	}
	return s, nil
}

// openAppend opens the file for lines after end: a torn one behind it would
// spoil the next. Appending keeps the lines of two that write at once apart.
func openAppend(path string, end int64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(end), f.Close()); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
}

// load reads the file's whole lines; end is where the last of them ends. No
// file, or an empty one, is none.
func (s *reportState) load(of stateHead) (end int64, began time.Time, err error) {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, began, nil
	}
	if err != nil {
		return 0, began, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, began, errors.Join(err, errors.New("it is no regular file"))
	} else if info.Size() > limits.ReportStateBytes {
		return 0, began, fmt.Errorf("it has more than %d bytes (limit ReportStateBytes)", limits.ReportStateBytes)
	}
	lines := bufio.NewReaderSize(f, 64<<10)
	for n := 0; ; n++ {
		line, err := wholeLine(lines)
		if errors.Is(err, io.EOF) {
			return end, began, nil
		}
		if err != nil {
			return 0, began, err
		}
		if n == 0 {
			if began, err = s.checkHead(line, of); err != nil {
				return 0, began, err
			}
		} else if !s.take(line) {
			return 0, began, fmt.Errorf("line %d is none that a report writes", n+1)
		}
		end += int64(len(line))
	}
}

// wholeLine is the next line with its end; io.EOF where there is no whole one.
func wholeLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limits.ReportStateLine:
			return nil, fmt.Errorf("a line has more than %d bytes (limit ReportStateLine)", limits.ReportStateLine)
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// checkHead reads the first line.
func (s *reportState) checkHead(line []byte, of stateHead) (time.Time, error) {
	var first stateFirst
	if json.Unmarshal(line, &first) != nil || first.MediaType != mediaTypeReportState {
		return time.Time{}, errors.New("it is no state file of a report")
	}
	for _, c := range []struct {
		differs bool
		what    string
	}{
		{first.Policy != of.Policy, "another policy, or of what it was before it was changed"},
		{first.Trust != of.Trust, "other trust stores, or of what they were before"},
		{first.Engine != of.Engine, "another version of this program, " + visible(first.Engine)},
		{first.Where != of.Where, "another cluster or namespace"},
	} {
		if c.differs {
			return time.Time{}, errors.New("it is of a report with " + c.what)
		}
	}
	return first.Began, nil
}

// take reads a line; a later one of the same thing counts.
func (s *reportState) take(line []byte) bool {
	var l stateLine
	if json.Unmarshal(line, &l) != nil || l.Repository == "" {
		return false
	}
	switch {
	case l.Names != nil && shuin.ValidTag(l.Tag) && l.Names.Validate() == nil:
		s.tags[[2]string{l.Repository, l.Tag}] = *l.Names
	case l.Answer != nil && l.Digest.Validate() == nil && (l.Answer.Outcome == outcomeAdmit || l.Answer.Outcome == outcomeDeny):
		s.images[[2]string{l.Repository, l.Digest.String()}] = *l.Answer
	default:
		return false
	}
	return true
}

// append writes a line.
func (s *reportState) append(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) >= limits.ReportStateLine {
		return nil // it is found out again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Write(append(b, '\n')); err != nil {
		// What comes after a torn line would be lost with it: no more is kept.
		return errors.Join(fmt.Errorf("keep the report's state: %w", err), s.closeFile())
	}
	return nil
}

func (s *reportState) closeFile() error {
	f := s.file
	s.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

// tag is what a tag named when this report came by.
func (s *reportState) tag(repository, tag string) (shuin.Descriptor, bool) {
	if s == nil {
		return shuin.Descriptor{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.tags[[2]string{repository, tag}]
	return d, ok
}

func (s *reportState) keepTag(repository, tag string, d shuin.Descriptor) error {
	if s == nil {
		return nil
	}
	return s.append(stateLine{Repository: repository, Tag: tag, Names: &d})
}

// image is the answer about an image, unless it may have changed since.
func (s *reportState) image(repository string, d digest.Digest, now time.Time) (reportedAnswer, bool) {
	if s == nil {
		return reportedAnswer{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.images[[2]string{repository, d.String()}]
	if !ok || a.StaleUntil != nil && !now.Before(*a.StaleUntil) {
		return reportedAnswer{}, false
	}
	return a, true
}

func (s *reportState) keepImage(repository string, d digest.Digest, a reportedAnswer) error {
	if s == nil {
		return nil
	}
	return s.append(stateLine{Repository: repository, Digest: d, Answer: &a})
}

// close leaves the file for the next run.
func (s *reportState) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.closeFile()
}

// remove takes the file away: the report is whole, and the next one is a new one.
func (s *reportState) remove() error {
	if s == nil {
		return nil
	}
	s.close()
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the report's state: %w", err)
	}
	return nil
}

// hint says how to go on; empty where nothing was kept.
func (s *reportState) hint() string {
	if s == nil {
		return ""
	}
	return "what was found is kept in " + s.path + ": the same command goes on from there"
}
