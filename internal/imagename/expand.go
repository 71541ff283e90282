// Package imagename reads image references as container runtimes do: a short name
// is written out in full. It resolves nothing and asks nobody.
package imagename

import (
	_ "crypto/sha256" // digests of either algorithm can be checked
	_ "crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Expand reads an image reference as a container runtime does and writes it
// out in full: "nginx" is docker.io/library/nginx:latest. The rules are those
// of the reference grammar that Docker, containerd and, for its default tag,
// the kubelet share; ECS takes short names for Docker Hub's too.
//
// The first component is a registry where it holds a dot, a colon or a capital
// letter or is "localhost"; else all of it is a repository of Docker Hub, and
// one without a slash lies in "library". Without tag and digest the tag is
// "latest". A tag beside a digest stays: the digest decides what runs.
// Runtimes that are configured to look elsewhere for short names (CRI-O's
// aliases) are not followed: write the registry out there.
func Expand(image string) (shuin.Reference, error) {
	if err := checkImage(image); err != nil {
		return shuin.Reference{}, err
	}
	host, rest, ok := strings.Cut(image, "/")
	if !ok || !isHost(host) {
		host, rest = dockerHub, image
	}
	if host == "index.docker.io" {
		host = dockerHub
	}
	if host == dockerHub && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	ref, err := shuin.ParseReference(host + "/" + rest)
	if err != nil {
		return shuin.Reference{}, fmt.Errorf("not an image reference: %w", err)
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest"
	}
	return ref, nil
}

const dockerHub = "docker.io"

// isHost reports whether the first component of a reference is a registry.
func isHost(s string) bool {
	return strings.ContainsAny(s, ".:") || s == "localhost" || strings.ToLower(s) != s
}

// checkImage refuses what is no reference at all, saying what it is instead.
func checkImage(s string) error {
	switch {
	case s == "":
		return errors.New("empty: what would run is not said")
	case len(s) > limits.DeployImageBytes:
		return fmt.Errorf("an image reference of %d bytes, more than %d (limit DeployImageBytes)", len(s), limits.DeployImageBytes)
	case strings.ContainsAny(s, "<>${}"):
		return fmt.Errorf("%q is a placeholder: fill it in first, what is checked has to be what is deployed", s)
	case isImageID(s):
		return fmt.Errorf("%q is the ID of a local image, which names no repository", s)
	}
	return nil
}

// isImageID: 64 hexadecimal digits alone are no name, by the reference grammar.
func isImageID(s string) bool {
	s = strings.TrimPrefix(s, "sha256:")
	if len(s) != 64 {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
