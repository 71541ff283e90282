package registry

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// A few bytes of JSON ("{},") become a hundred times as many in memory, and
// whoever may push chooses them. So what is read is bounded while it is
// decoded, and only what is used of it is kept.

// keptAnnotations are the annotations that are used here: the hint of a
// signature manifest, the tag of a layout's entry.
var keptAnnotations = map[string]bool{shuin.AnnotationThumbprints: true, annotationRefName: true}

// annotations are written as they are, and read only as far as they are used.
type annotations map[string]string

// UnmarshalJSONFrom keeps the annotations that are used and not longer than
// limits.AnnotationBytes: neither a tag nor the hint of a chain we would take is
// longer, and what cannot be read is no hint (OCI-09). All have to be strings.
func (a *annotations) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*a = nil
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	if err := opens(dec, '{', "annotations are not an object"); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		key := ""
		if k := name.String(); keptAnnotations[k] {
			key = k
		}
		if dec.PeekKind() != '"' {
			// Null is no annotation; pushers choose it, so it must not spoil the rest.
			null := dec.PeekKind() == 'n'
			if err := dec.SkipValue(); err != nil {
				return err
			}
			if null {
				continue
			}
			return errors.New("an annotation is not a string")
		}
		if key == "" {
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		value, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if v := value.String(); len(v) <= limits.AnnotationBytes {
			if *a == nil {
				*a = annotations{}
			}
			(*a)[key] = v
		}
	}
	_, err := dec.ReadToken()
	return err
}

// descriptors are the entries of an index, at most limits.Referrers.
type descriptors []descriptor

// UnmarshalJSONFrom stops at the bound.
func (l *descriptors) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	return elements(dec, func(n int) error {
		if n > limits.Referrers {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("more than %d entries (limit Referrers)", limits.Referrers)}
		}
		var d descriptor
		if err := json.UnmarshalDecode(dec, &d); err != nil {
			return err
		}
		d.Data = "" // of a listing only what it names is used
		*l = append(*l, d)
		return nil
	})
}

// layers are the layers of a manifest. A signature has exactly one, so that of
// more only the first two are kept.
type layers []descriptor

// UnmarshalJSONFrom passes over what is not kept.
func (l *layers) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	return elements(dec, func(n int) error {
		if n > 2 {
			return dec.SkipValue()
		}
		var d descriptor
		if err := json.UnmarshalDecode(dec, &d); err != nil {
			return err
		}
		*l = append(*l, d)
		return nil
	})
}

// rawEntries are the entries of an index that is rewritten, at most
// limits.Referrers.
type rawEntries []jsontext.Value

// UnmarshalJSONFrom stops at the bound.
func (l *rawEntries) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = nil
	return elements(dec, func(n int) error {
		if n > limits.Referrers {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("more than %d entries (limit Referrers)", limits.Referrers)}
		}
		v, err := dec.ReadValue()
		if err != nil {
			return err
		}
		*l = append(*l, v.Clone())
		return nil
	})
}

// elements calls each for every element of an array, counted from 1; it has to
// read it. null is no element.
func elements(dec *jsontext.Decoder, each func(n int) error) error {
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	if err := opens(dec, '[', "not an array"); err != nil {
		return err
	}
	for n := 1; dec.PeekKind() != ']'; n++ {
		if err := each(n); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// opens reads the token that opens an object or array.
func opens(dec *jsontext.Decoder, kind jsontext.Kind, otherwise string) error {
	if k := dec.PeekKind(); k != kind && k != 0 {
		return errors.New(otherwise)
	}
	_, err := dec.ReadToken()
	return err
}
