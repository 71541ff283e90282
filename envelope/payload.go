package envelope

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Payload is the signed payload of the Notary Project.
type Payload struct {
	TargetArtifact shuin.Descriptor `json:"targetArtifact"`
}

// ParsePayload reads a signed payload (signature-specification.md, "Payload"):
// JSON, case-sensitive, no duplicate names (PAY-01, PAY-02). Members of the
// descriptor that it does not know are ignored, as the OCI image specification
// asks; members beside targetArtifact are refused (ATT-01).
// A failure is a [*Error].
func ParsePayload(data []byte) (Payload, error) {
	if len(data) > limits.PayloadBytes {
		return Payload{}, tooMuch("PAY-01", "payload is %d bytes, limit %d", len(data), limits.PayloadBytes)
	}
	var p Payload
	found := false
	r := newReader(data, "PAY-01")
	defer r.done()
	err := r.document(func(name string) error {
		// Differs from upstream: it ignores other members, and takes
		// targetArtifact in any letter case.
		if name != "targetArtifact" {
			return bad("ATT-01", "payload has a member %.64q beside targetArtifact", name)
		}
		found = true
		return readDescriptor(r, &p.TargetArtifact)
	})
	if err != nil {
		return Payload{}, err
	}
	if !found {
		return Payload{}, bad("PAY-01", "payload has no targetArtifact")
	}
	if err := p.TargetArtifact.Validate(); err != nil {
		return Payload{}, badCause("PAY-02", err, "payload's targetArtifact is invalid")
	}
	return p, nil
}

// readDescriptor reads an OCI descriptor.
// Differs from upstream: it reads null and a missing member as zero.
func readDescriptor(r *reader, d *shuin.Descriptor) error {
	sized := false
	err := r.object("PAY-02", func(name string) error {
		raw, err := r.value()
		if err != nil {
			return err
		}
		switch name {
		case "mediaType":
			d.MediaType, err = jsonString(raw)
		case "digest":
			var s string
			s, err = jsonString(raw)
			d.Digest = digest.Digest(s)
		case "size":
			sized = true
			d.Size, err = strconv.ParseInt(string(raw), 10, 64)
		case "annotations":
			d.Annotations, err = readAnnotations(raw)
		default:
			if known := folds(name, "mediaType", "digest", "size", "annotations"); known != "" {
				return bad("PAY-02", "descriptor has a member %.64q that could be taken for %q", name, known)
			}
		}
		if err != nil {
			var broken *Error
			if errors.As(err, &broken) {
				return badCode(err, fmt.Sprintf("descriptor member %q", name)) // keeps the code of a limit
			}
			return badCause("PAY-02", err, "descriptor member %q", name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !sized {
		return bad("PAY-02", "descriptor has no size")
	}
	return nil
}

// readAnnotations reads a map of strings to strings (OCI image specification,
// annotations.md, "Rules").
func readAnnotations(raw []byte) (map[string]string, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	m := map[string]string{}
	r := newReader(raw, "PAY-02")
	defer r.done()
	err := r.document(func(name string) error {
		v, err := r.value()
		if err != nil {
			return err
		}
		s, err := jsonString(v)
		if err != nil {
			return badCause("PAY-02", err, "annotation %.64q", name)
		}
		if len(m) == limits.Annotations {
			return tooMuch("PAY-02", "payload has more than %d annotations", limits.Annotations)
		}
		m[name] = s
		return nil
	})
	return m, err
}

// Marshal is the payload's JSON. It refuses an invalid descriptor and
// annotations whose names the Notary Project reserves (PAY-04).
func (p Payload) Marshal() ([]byte, error) {
	if err := p.TargetArtifact.Validate(); err != nil {
		return nil, badCause("PAY-02", err, "artifact to sign")
	}
	for k := range p.TargetArtifact.Annotations {
		if strings.HasPrefix(k, shuin.ReservedAnnotationPrefix) {
			return nil, bad("PAY-04", "annotation %q starts with the reserved %q", k, shuin.ReservedAnnotationPrefix)
		}
	}
	data, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return nil, badCause("PAY-01", err, "write payload")
	}
	if len(data) > limits.PayloadBytes {
		return nil, tooMuch("PAY-01", "payload is %d bytes, limit %d", len(data), limits.PayloadBytes)
	}
	return data, nil
}
