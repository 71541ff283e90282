package seal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
)

// Subject is the local image that evidence is bound to: an image ID, or what an
// OCI layout holds.
type Subject struct {
	// ImageID is what the container engine calls the image. In Docker's classic
	// image store and in Podman that is the digest of its configuration, in the
	// containerd image store that of its manifest or index.
	ImageID digest.Digest `json:"imageID,omitzero"`
	// Manifest is the digest of the manifest or index in an OCI layout, Config
	// that of its image configuration, where it has one.
	Manifest digest.Digest `json:"manifest,omitzero"`
	Config   digest.Digest `json:"config,omitzero"`
}

// emptyConfig is the digest of "{}", which artifacts that are no image share.
const emptyConfig digest.Digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

// Check says why s cannot be what evidence is bound to.
func (s Subject) Check() error {
	if (s.ImageID == "") == (s.Manifest == "") || s.ImageID != "" && s.Config != "" {
		return errors.New("subject: either an imageID, or a manifest with its config")
	}
	for _, d := range []struct {
		name  string
		value digest.Digest
	}{{"imageID", s.ImageID}, {"manifest", s.Manifest}, {"config", s.Config}} {
		if d.value == "" {
			continue
		}
		if err := d.value.Validate(); err != nil {
			return fmt.Errorf("subject: %s %q: %w", d.name, d.value, err)
		}
		if d.value == emptyConfig {
			return fmt.Errorf("subject: %s %s is that of an empty object, which many artifacts share", d.name, d.value)
		}
	}
	return nil
}

// String is how the seal names it.
func (s Subject) String() string {
	switch {
	case s.ImageID != "":
		return "imageID " + s.ImageID.String()
	case s.Config != "":
		return "manifest " + s.Manifest.String() + " config " + s.Config.String()
	}
	return "manifest " + s.Manifest.String()
}

// Pushed is an image as a registry has it.
type Pushed struct {
	Digest digest.Digest // of the manifest or index
	// Config is what the manifest names as its config; zero for an index.
	Config shuin.Descriptor
}

// configTypes are the media types of configs that are an image's: of the OCI
// image specification, and of Docker's manifest version 2 schema 2. Of any
// other kind of artifact the config does not say what the content is.
var configTypes = []string{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}

// ConfigOf is the digest of an image's configuration; empty where config is
// none.
func ConfigOf(config shuin.Descriptor) digest.Digest {
	if !slices.Contains(configTypes, config.MediaType) || config.Digest == emptyConfig {
		return ""
	}
	return config.Digest
}

// Match says which digest of p it is that s names, in words; empty: none, the
// image is another one.
func (s Subject) Match(p Pushed) string {
	config := ConfigOf(p.Config)
	switch {
	case s.Manifest != "" && s.Manifest == p.Digest, s.ImageID != "" && s.ImageID == p.Digest:
		return "digest"
	case config == "":
	case s.Config == config, s.ImageID == config:
		return "config digest"
	}
	return ""
}
