package ecs

import (
	_ "crypto/sha256" // digests of either algorithm can be checked
	_ "crypto/sha512"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
)

// Image is one container's image as the gate takes it: the reference written
// out in full and in the spelling that policies know, as [shuin.Reference.Canonical]
// gives it. What is no reference stays as it was written, for the gate to
// refuse with its reason. running is what is reported to run; it may be empty.
func Image(container, image string, running digest.Digest) gate.Image {
	return gate.Image{Name: container, Written: expand(image), Running: running}
}

// expand writes an image reference out as Docker does, and so ECS: the first
// component is a registry where it holds a dot, a colon or a capital letter or
// is "localhost"; else all of it is of Docker Hub. Without tag and digest the
// tag is "latest".
func expand(image string) string {
	host, rest, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" && strings.ToLower(host) == host {
		host, rest = "docker.io", image
	}
	if isImageID(rest) {
		return image
	}
	ref, err := shuin.ParseReference(host + "/" + rest)
	if err != nil {
		return image
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest"
	}
	full := ref.Canonical().String()
	if _, err := shuin.ParseReference(full); err != nil {
		return image // too long, written out
	}
	return full
}

// isImageID: 64 hexadecimal digits are the ID of a local image, and no name.
func isImageID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// imageOf is a container of an event. An empty image is not known.
func imageOf(at, container, image, running string) (gate.Image, error) {
	if err := bounded(text{at + ".name", container}, text{at + ".image", image}, text{at + ".imageDigest", running}); err != nil {
		return gate.Image{}, err
	}
	if running != "" && digest.Digest(running).Validate() != nil {
		return gate.Image{}, malformed(at+".imageDigest", "%q is no digest", awscall.Printable(running, 120))
	}
	if image == "" {
		return gate.Image{Name: container, Running: digest.Digest(running)}, nil
	}
	return Image(container, image, digest.Digest(running)), nil
}
