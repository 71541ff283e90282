package devregistry

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
)

// The manifest media types it takes (OCI image specification; Docker image
// manifest version 2, schema 2; OCI artifact manifest of 1.1.0-rc).
const (
	typeOCIManifest   = "application/vnd.oci.image.manifest.v1+json"
	typeOCIIndex      = "application/vnd.oci.image.index.v1+json"
	typeOCIArtifact   = "application/vnd.oci.artifact.manifest.v1+json"
	typeDocker        = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList    = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeForeignPrefix = "application/vnd.oci.image.layer.nondistributable."
	typeDockerForeign = "application/vnd.docker.image.rootfs.foreign."
)

var manifestTypes = []string{typeOCIManifest, typeOCIIndex, typeOCIArtifact, typeDocker, typeDockerList}

// descriptor is what manifests and referrers answers say of content.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	URLs         []string          `json:"urls,omitempty"`
}

// fields is the part of any kind of manifest the registry looks at.
type fields struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       *descriptor       `json:"config"`
	Layers       []descriptor      `json:"layers"`
	Blobs        []descriptor      `json:"blobs"`
	Manifests    []descriptor      `json:"manifests"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

// parseFields reads a manifest: case-sensitively, duplicate keys refused.
func parseFields(body []byte) (fields, error) {
	var f fields
	if err := json.Unmarshal(body, &f); err != nil {
		return fields{}, err
	}
	all := slices.Concat(f.Layers, f.Blobs, f.Manifests)
	for _, p := range []*descriptor{f.Config, f.Subject} {
		if p != nil {
			all = append(all, *p)
		}
	}
	for _, d := range all {
		if err := d.Digest.Validate(); err != nil {
			return fields{}, err
		}
	}
	return f, nil
}

// blobs are the digests of the blobs a manifest needs in its repository.
func (f fields) blobs() []digest.Digest {
	var out []digest.Digest
	if f.Config != nil {
		out = append(out, f.Config.Digest)
	}
	for _, l := range slices.Concat(f.Layers, f.Blobs) {
		elsewhere := len(l.URLs) > 0 || strings.HasPrefix(l.MediaType, typeForeignPrefix) ||
			strings.HasPrefix(l.MediaType, typeDockerForeign)
		if !elsewhere {
			out = append(out, l.Digest)
		}
	}
	return out
}

// describe is m as the referrers API lists it (OCI distribution specification,
// "Listing Referrers").
func (m *manifest) describe() descriptor {
	d := descriptor{
		MediaType: m.mediaType, Digest: m.digest, Size: int64(len(m.body)),
		ArtifactType: m.fields.ArtifactType, Annotations: m.fields.Annotations,
	}
	if d.ArtifactType == "" && m.fields.Config != nil {
		d.ArtifactType = m.fields.Config.MediaType
	}
	return d
}

// manifest serves GET, HEAD, PUT and DELETE of a manifest.
func (c *call) manifest() error {
	if strings.Contains(c.t.ref, ":") {
		if _, err := parseDigest(c.t.ref); err != nil {
			return err
		}
	} else if !shuin.ValidTag(c.t.ref) {
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", "invalid tag %q", c.t.ref)
	}
	switch c.req.Method {
	case http.MethodGet, http.MethodHead:
		return c.readManifest()
	case http.MethodPut:
		return c.putManifest()
	case http.MethodDelete:
		if c.opts.NoDelete {
			return c.methodRefused()
		}
		found, err := c.store.removeManifest(c.t.repo, c.t.ref)
		if err != nil {
			return internal(err)
		}
		if !found {
			return c.manifestUnknown()
		}
		c.empty(http.StatusAccepted)
		return nil
	}
	return c.methodRefused()
}

func (c *call) manifestUnknown() *apiError {
	return refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "no manifest %s in %s", c.t.ref, c.t.repo)
}

func (c *call) readManifest() error {
	m := c.store.findManifest(c.t.repo, c.t.ref)
	if m == nil {
		return c.manifestUnknown()
	}
	h := c.w.Header()
	h.Set("Content-Type", m.mediaType)
	h.Set("Docker-Content-Digest", m.digest.String())
	if !c.opts.NoConditionalPut {
		h.Set("Etag", etag(m.digest))
	}
	http.ServeContent(c.w, c.req, "", time.Time{}, bytes.NewReader(m.body))
	return nil
}

func (c *call) putManifest() error {
	m, tags, err := c.readPut()
	if err != nil {
		return err
	}
	ok, missing, serr := c.store.addManifest(c.t.repo, m, tags, c.t.ref, c.condition(), c.opts.Sparse)
	switch {
	case serr != nil:
		return internal(serr)
	case !ok:
		return refuse(http.StatusPreconditionFailed, "DENIED", "%s is not what the condition says", c.t.ref)
	case missing != "":
		e := refuse(http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "the manifest names %s, which is not in %s", missing, c.t.repo)
		e.detail = map[string]string{"digest": missing.String()}
		return e
	}
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.t.repo+"/manifests/"+m.digest.String())
	h.Set("Docker-Content-Digest", m.digest.String())
	if !c.opts.NoConditionalPut {
		h.Set("Etag", etag(m.digest))
	}
	for _, t := range c.req.URL.Query()["tag"] {
		h.Add("OCI-Tag", t)
	}
	if sub := m.fields.Subject; sub != nil && c.opts.referrersAPI() && !c.opts.NoSubjectHeader {
		h.Set("OCI-Subject", sub.Digest.String())
	}
	c.empty(http.StatusCreated)
	return nil
}

// readPut reads and checks the body of a PUT. tags are those to be set.
func (c *call) readPut() (*manifest, []string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.req.Body, c.opts.MaxManifestBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, nil, refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a manifest may have %d bytes", c.opts.MaxManifestBytes)
	}
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "read the manifest: %v", err)
	}
	f, err := parseFields(body)
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "parse the manifest: %v", err)
	}
	mediaType := f.MediaType
	if ct := c.req.Header.Get("Content-Type"); ct != "" {
		if mediaType, _, err = mime.ParseMediaType(ct); err != nil {
			return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "Content-Type %q: %v", ct, err)
		}
	}
	switch {
	case f.MediaType != "" && f.MediaType != mediaType:
		return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "Content-Type is %q, the manifest's mediaType %q", mediaType, f.MediaType)
	case !slices.Contains(manifestTypes, mediaType):
		return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "no manifest type: %q", mediaType)
	}
	m := &manifest{mediaType: mediaType, digest: digest.FromBytes(body), body: body, fields: f}
	tags := c.req.URL.Query()["tag"]
	for _, t := range tags {
		if !shuin.ValidTag(t) {
			return nil, nil, refuse(http.StatusBadRequest, "MANIFEST_INVALID", "invalid tag %q", t)
		}
	}
	if !strings.Contains(c.t.ref, ":") {
		return m, append(slices.Clone(tags), c.t.ref), nil
	}
	want := digest.Digest(c.t.ref)
	if m.digest = want.Algorithm().FromBytes(body); m.digest != want {
		return nil, nil, refuse(http.StatusBadRequest, "DIGEST_INVALID", "the manifest is %s, not %s", m.digest, want)
	}
	return m, tags, nil
}

func etag(d digest.Digest) string { return `"` + d.String() + `"` }

// condition reads If-Match and If-None-Match (RFC 9110, sections 13.1.1 and
// 13.1.2); nil means none. The OCI distribution specification lets a client
// use them where the registry has ETags ("Referrers Tag Schema").
func (c *call) condition() precondition {
	match, none := c.req.Header.Values("If-Match"), c.req.Header.Values("If-None-Match")
	if c.opts.NoConditionalPut || len(match)+len(none) == 0 {
		return nil
	}
	return func(current digest.Digest) bool {
		if len(match) > 0 && !names(match, current) {
			return false
		}
		return len(none) == 0 || !names(none, current)
	}
}

// names reports whether the current content is among a header's entity tags.
func names(header []string, current digest.Digest) bool {
	if current == "" {
		return false
	}
	for _, line := range header {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(current) {
				return true
			}
		}
	}
	return false
}
