package signing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// checkPayload lets nothing be signed but what a Notary Project payload is
// (signature-specification.md, "Payload"): one member targetArtifact with
// mediaType, digest and size, and annotations or none; no other member at any
// level, no name twice. The bytes are signed as they are, so what is not
// understood here could mean something elsewhere.
func checkPayload(payload []byte) *Error {
	if len(payload) < 1 || len(payload) > limits.SignPayload {
		return invalid("The payload has %d bytes; it has to have between 1 and %d.", len(payload), limits.SignPayload)
	}
	d := payloadReader{dec: jsontext.NewDecoder(bytes.NewBuffer(payload))}
	err := d.object(func(name string) error {
		if name != "targetArtifact" {
			return fmt.Errorf("member %.64q is not allowed, targetArtifact only", name)
		}
		return d.descriptor()
	})
	if err == nil && !d.found {
		err = errors.New("member targetArtifact is missing")
	}
	if err == nil {
		if _, end := d.dec.ReadToken(); end != io.EOF {
			err = errors.New("something follows the JSON object")
		}
	}
	if err != nil {
		return invalid("The payload is not a Notary Project payload: %s.", strings.ToValidUTF8(err.Error(), "?"))
	}
	return nil
}

// payloadReader reads strictly: jsontext refuses duplicate names and what is
// not UTF-8.
type payloadReader struct {
	dec   *jsontext.Decoder
	found bool
}

func (d *payloadReader) object(member func(name string) error) error {
	if d.dec.PeekKind() != '{' {
		if _, err := d.dec.ReadToken(); err != nil {
			return plainSyntax(err)
		}
		return errors.New("want a JSON object")
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return plainSyntax(err)
	}
	for d.dec.PeekKind() == '"' {
		name, err := d.text()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken() // the closing brace
	return plainSyntax(err)
}

func (d *payloadReader) text() (string, error) {
	if k := d.dec.PeekKind(); k != '"' && k != 0 {
		return "", errors.New("want a JSON string")
	}
	t, err := d.dec.ReadToken()
	if err != nil {
		return "", plainSyntax(err)
	}
	return t.String(), nil
}

func (d *payloadReader) descriptor() error {
	d.found = true
	var desc shuin.Descriptor
	sized := false
	err := d.object(func(name string) (err error) {
		switch name {
		case "mediaType":
			desc.MediaType, err = d.text()
		case "digest":
			var s string
			s, err = d.text()
			desc.Digest = digest.Digest(s)
		case "size":
			sized = true
			desc.Size, err = d.size()
		case "annotations":
			err = d.annotations()
		default:
			return fmt.Errorf("targetArtifact has the member %.64q; mediaType, digest, size and annotations are allowed", name)
		}
		if err != nil {
			return fmt.Errorf("targetArtifact.%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !sized {
		return errors.New("targetArtifact has no size")
	}
	return desc.Validate()
}

func (d *payloadReader) size() (int64, error) {
	if d.dec.PeekKind() != '0' {
		return 0, errors.New("want a JSON number")
	}
	v, err := d.dec.ReadValue()
	if err != nil {
		return 0, plainSyntax(err)
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 || v[0] == '-' || n > math.MaxInt64/2 {
		return 0, fmt.Errorf("%.24s is no size", v)
	}
	return n, nil
}

func (d *payloadReader) annotations() error {
	n := 0
	return d.object(func(name string) error {
		if n++; n > limits.SignAnnotations {
			return fmt.Errorf("more than %d annotations", limits.SignAnnotations)
		}
		if strings.HasPrefix(name, shuin.ReservedAnnotationPrefix) {
			return fmt.Errorf("annotation %.64q starts with the reserved %q", name, shuin.ReservedAnnotationPrefix)
		}
		_, err := d.text()
		return err
	})
}

// plainSyntax takes the package's own words off an error of jsontext.
func plainSyntax(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a name occurs twice in a JSON object")
	case errors.As(err, &s):
		return fmt.Errorf("malformed JSON at byte %d", s.ByteOffset)
	case errors.Is(err, io.EOF):
		return errors.New("the JSON ends too early")
	}
	return err
}
