package seal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// APIVersion and Kind are what every evidence file says of itself.
const (
	APIVersion = "shuin.dev/v1"
	Kind       = "Evidence"
)

// File is an evidence file: which stages one local image passed before it was
// pushed. It is a value of its own: change it and write it anew.
type File struct {
	Subject Subject
	Stages  []Evidence // in the order they were recorded, no stage twice
}

// Its form on disk. Field order is the canonical order.
type (
	fileJSON struct {
		APIVersion string      `json:"apiVersion"`
		Kind       string      `json:"kind"`
		Subject    Subject     `json:"subject"`
		Stages     []stageJSON `json:"stages"`
		Checksum   string      `json:"checksum,omitzero"`
	}
	stageJSON struct {
		Stage         string `json:"stage"`
		Command       string `json:"command,omitzero"`
		CommandSHA256 string `json:"commandSHA256,omitzero"`
		ExitStatus    *int   `json:"exitStatus"`
		Started       string `json:"started"`  // RFC 3339, UTC
		Duration      string `json:"duration"` // as Go writes it
		Commit        string `json:"commit,omitzero"`
		Run           string `json:"run,omitzero"`
		Tool          string `json:"tool,omitzero"`
	}
)

// Add puts in evidence of a command that was run; evidence of the same stage
// from before goes.
func (f *File) Add(e Evidence) error {
	if !e.Ran {
		return fmt.Errorf("stage %s: no command was run", e.Stage)
	}
	if err := e.Check(); err != nil {
		return err
	}
	f.Stages = slices.DeleteFunc(f.Stages, func(old Evidence) bool { return old.Stage == e.Stage })
	if len(f.Stages) >= limits.EvidenceStages {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("an evidence file holds at most %d stages", limits.EvidenceStages)}
	}
	f.Stages = append(f.Stages, e)
	return nil
}

// Find is the evidence of a stage, or nil.
func (f *File) Find(stage string) *Evidence {
	for i := range f.Stages {
		if f.Stages[i].Stage == stage {
			return &f.Stages[i]
		}
	}
	return nil
}

// Marshal is the file with its checksum, as [Parse] reads it.
func (f *File) Marshal() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	form := f.form()
	sum, err := form.checksum()
	if err != nil {
		return nil, err
	}
	form.Checksum = sum.String()
	b, err := json.Marshal(form, jsontext.WithIndent("  "))
	if err != nil {
		return nil, err
	}
	if b = append(b, '\n'); len(b) > limits.EvidenceBytes {
		return nil, tooLong(len(b))
	}
	return b, nil
}

func (f *File) form() fileJSON {
	form := fileJSON{APIVersion: APIVersion, Kind: Kind, Subject: f.Subject}
	for _, e := range f.Stages {
		form.Stages = append(form.Stages, stageJSON{
			Stage: e.Stage, Command: e.Command.Text, CommandSHA256: e.Command.SHA256, ExitStatus: new(int),
			Started: e.Started.UTC().Format(time.RFC3339Nano), Duration: e.Duration.String(),
			Commit: e.Commit, Run: e.Run, Tool: e.Tool,
		})
	}
	return form
}

// checksum is the SHA-256 of the content in its canonical form: compact JSON
// of the fields in their order, without the checksum.
func (form fileJSON) checksum() (digest.Digest, error) {
	form.Checksum = ""
	b, err := json.Marshal(form)
	if err != nil {
		return "", err
	}
	return digest.SHA256.FromBytes(b), nil
}

func (f *File) check() error {
	if err := f.Subject.Check(); err != nil {
		return err
	}
	if len(f.Stages) == 0 {
		return errors.New("it has no stages")
	}
	if len(f.Stages) > limits.EvidenceStages {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("it has %d stages, more than %d", len(f.Stages), limits.EvidenceStages)}
	}
	seen := map[string]bool{}
	for _, e := range f.Stages {
		if !e.Ran {
			return fmt.Errorf("stage %s: no command was run", e.Stage)
		}
		if err := e.Check(); err != nil {
			return err
		}
		if seen[e.Stage] {
			return fmt.Errorf("stage %s is there twice", e.Stage)
		}
		seen[e.Stage] = true
	}
	return nil
}

// Parse reads an evidence file of at most limits.EvidenceBytes. Keys that are
// not known or there twice, an exit status other than 0, and a checksum that is
// not that of the content are refused. The error is a [*shuin.Error] with code
// invalid-input or limit-exceeded.
func Parse(data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		return nil, &shuin.Error{Code: codeOr(err, shuin.CodeInvalidInput), Message: "not usable as evidence", Err: err, Hint: shuin.HintOf(err)}
	}
	return f, nil
}

func parse(data []byte) (*File, error) {
	if len(data) > limits.EvidenceBytes {
		return nil, tooLong(len(data))
	}
	var form fileJSON
	if err := decode(data, &form); err != nil {
		return nil, err
	}
	if form.Checksum == "" {
		return nil, errors.New("it has no checksum")
	}
	sum, err := form.checksum()
	if err != nil {
		return nil, err
	}
	if form.Checksum != sum.String() {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput,
			Message: fmt.Sprintf("its checksum is not that of its content (%s): it was edited or damaged after it was recorded", sum),
			Hint:    "run the stages again with \"seal --record\"; evidence is not for editing"}
	}
	f := &File{Subject: form.Subject}
	for i, s := range form.Stages {
		e, err := s.evidence()
		if err != nil {
			return nil, fmt.Errorf("stages[%d]: %w", i, err)
		}
		f.Stages = append(f.Stages, e)
	}
	return f, f.check()
}

// decode reads the JSON strictly. Of a file of another kind or version it says
// that, and not which of its keys are not known here.
func decode(data []byte, form *fileJSON) error {
	if err := checkDepth(data); err != nil {
		return err
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.APIVersion != APIVersion || head.Kind != Kind {
		return fmt.Errorf("apiVersion is %q and kind %q, not %q and %q", head.APIVersion, head.Kind, APIVersion, Kind)
	}
	return json.Unmarshal(data, form, json.RejectUnknownMembers(true))
}

// checkDepth bounds the nesting before anything is made of it.
func checkDepth(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := d.ReadToken(); err != nil {
			return nil // a syntax error is told by the reading itself
		}
		if d.StackDepth() > limits.EvidenceDepth {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("it is nested deeper than %d", limits.EvidenceDepth)}
		}
	}
}

func (s stageJSON) evidence() (Evidence, error) {
	if s.ExitStatus == nil {
		return Evidence{}, errors.New("it has no exitStatus")
	}
	if *s.ExitStatus != 0 {
		return Evidence{}, fmt.Errorf("stage %s ended with exit status %d: what failed is no evidence", s.Stage, *s.ExitStatus)
	}
	started, err := time.Parse(time.RFC3339Nano, s.Started)
	if err != nil {
		return Evidence{}, fmt.Errorf("started: %w", err)
	}
	duration, err := time.ParseDuration(s.Duration)
	if err != nil {
		return Evidence{}, fmt.Errorf("duration: %w", err)
	}
	return Evidence{
		Stage: s.Stage, Ran: true, Command: Command{Text: s.Command, SHA256: s.CommandSHA256},
		Started: started.UTC(), Duration: duration, Commit: s.Commit, Run: s.Run, Tool: s.Tool,
	}, nil
}

func tooLong(n int) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("it has %d bytes, more than %d (limit EvidenceBytes)", n, limits.EvidenceBytes)}
}
