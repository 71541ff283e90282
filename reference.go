package shuin

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Reference is what a person wrote. It may hold a tag, a digest, both, or
// neither; it is resolved to an [Artifact] before anything is decided.
// Exactly one of Registry, Layout and File is set.
type Reference struct {
	// Registry is the host with its port, if any: "localhost:5000".
	Registry string
	// Repository is the name inside the registry: "library/alpine".
	Repository string
	// Layout is the path of an OCI image layout directory.
	Layout string
	// File is the path of a blob: a file outside any registry. It has no tag,
	// and [ParseReference] never sets it.
	File string
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
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if i == 0 {
			return Reference{}, fmt.Errorf("invalid layout reference %q: no directory", s)
		}
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
// path of the OCI layout or of the blob.
func (r Reference) Name() string {
	switch {
	case r.Layout != "":
		return r.Layout
	case r.File != "":
		return r.File
	}
	return r.Registry + "/" + r.Repository
}

// Canonical is r with its registry and repository in the one spelling under
// which a policy knows them: the host in lower case, an IP address as RFC 5952
// writes it, the port without leading zeros and left out where it is 443; of
// Docker Hub, which has several names, "docker.io/library/name" and
// "docker.io/owner/name". A layout has no other spelling. Nothing is asked of
// DNS: two names of one host stay two.
func (r Reference) Canonical() Reference {
	if r.Layout != "" || r.File != "" {
		return r
	}
	r.Registry = CanonicalRegistry(r.Registry)
	if r.Registry == dockerHub && r.Repository != "" && !strings.Contains(r.Repository, "/") {
		r.Repository = "library/" + r.Repository
	}
	return r
}

const dockerHub = "docker.io"

// CanonicalRegistry is the spelling of a valid registry host that
// [Reference.Canonical] uses.
func CanonicalRegistry(s string) string {
	host, port := strings.ToLower(s), ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], strings.TrimLeft(host[i+1:], "0")
		if port == "" {
			port = "0"
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		if ip, err := netip.ParseAddr(host[1 : len(host)-1]); err == nil {
			if host = "[" + ip.String() + "]"; ip.Is4In6() {
				host = ip.Unmap().String()
			}
		}
	}
	if port != "" && port != "443" {
		return host + ":" + port
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return dockerHub
	}
	return host
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
