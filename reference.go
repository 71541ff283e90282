package shuin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Reference is what a person wrote. It may hold a tag, a digest, both, or
// neither; it is resolved to an [Artifact] before anything is decided.
// Exactly one of Registry and Layout is set.
type Reference struct {
	// Registry is the host with its port, if any: "localhost:5000".
	Registry string
	// Repository is the name inside the registry: "library/alpine".
	Repository string
	// Layout is the path of an OCI image layout directory.
	Layout string
	// Tag is empty when none was written.
	Tag string
	// Digest is empty when none was written.
	Digest digest.Digest
}

// maxName bounds registry plus repository, in bytes (OCI distribution
// specification: many clients limit it to 255).
const maxName = 255

// ParseReference parses "registry/repository[:tag][@digest]". No name is
// expanded: "alpine" is refused, since a registry has to be named (trust
// policies match the full name).
func ParseReference(s string) (Reference, error) {
	if s == "" {
		return Reference{}, errors.New("missing reference")
	}
	name, dgst, hasDigest := strings.Cut(s, "@")
	host, path, ok := strings.Cut(name, "/")
	if !ok {
		return Reference{}, fmt.Errorf("invalid reference %q: no registry named; write registry/repository:tag or registry/repository@digest", s)
	}
	ref := Reference{Registry: host, Repository: path}
	if i := strings.LastIndexByte(path, ':'); i >= 0 {
		ref.Repository, ref.Tag = path[:i], path[i+1:]
		if !ValidTag(ref.Tag) {
			return Reference{}, fmt.Errorf("invalid reference %q: invalid tag %q", s, ref.Tag)
		}
	}
	if hasDigest {
		ref.Digest = digest.Digest(dgst)
		if err := ref.Digest.Validate(); err != nil {
			return Reference{}, fmt.Errorf("invalid reference %q: invalid digest %q: %w", s, dgst, err)
		}
	}
	if !ValidRegistry(host) {
		return Reference{}, fmt.Errorf("invalid reference %q: invalid registry %q", s, host)
	}
	if !ValidRepository(ref.Repository) || len(host)+len(ref.Repository) >= maxName {
		return Reference{}, fmt.Errorf("invalid reference %q: invalid repository %q", s, ref.Repository)
	}
	return ref, nil
}

// ParseLayoutReference parses "directory:tag" or "directory@digest", a target
// in an OCI image layout.
func ParseLayoutReference(s string) (Reference, error) {
	if s == "" {
		return Reference{}, errors.New("missing reference")
	}
	if i := strings.LastIndexByte(s, '@'); i > 0 {
		d := digest.Digest(s[i+1:])
		if err := d.Validate(); err != nil {
			return Reference{}, fmt.Errorf("invalid layout reference %q: invalid digest %q: %w", s, s[i+1:], err)
		}
		return Reference{Layout: s[:i], Digest: d}, nil
	}
	// A Windows drive letter ("C:\dir") is not a tag: the tag is what follows
	// the last colon, and holds no separator.
	if i := strings.LastIndexByte(s, ':'); i > 0 && ValidTag(s[i+1:]) {
		return Reference{Layout: s[:i], Tag: s[i+1:]}, nil
	}
	return Reference{}, fmt.Errorf("invalid layout reference %q: write directory:tag or directory@digest", s)
}

// Name is the repository without tag or digest: "registry/repository", or the
// path of the OCI layout.
func (r Reference) Name() string {
	if r.Layout != "" {
		return r.Layout
	}
	return r.Registry + "/" + r.Repository
}

// String is the reference in the form that [ParseReference] (or, for a layout,
// [ParseLayoutReference]) reads.
func (r Reference) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}
