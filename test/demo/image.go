package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
)

// The media types of what is packed (OCI image specification).
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// platform is what a program runs on.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Architecture }

// platformOf reads from a Go program what it was built for.
func platformOf(path string) (platform, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return platform{}, fmt.Errorf("read build information of %s: %w", path, err)
	}
	var p platform
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			p.OS = s.Value
		case "GOARCH":
			p.Architecture = s.Value
		}
	}
	if p.OS == "" || p.Architecture == "" {
		return platform{}, fmt.Errorf("%s does not say what it was built for", path)
	}
	return p, nil
}

// descriptor is one entry of a manifest or an index.
type descriptor struct {
	shuin.Descriptor
	Platform *platform `json:"platform,omitempty"`
}

// image is a manifest (or an index) and the blobs it names.
type image struct {
	descriptor
	manifest []byte
	blobs    [][]byte
}

func describe(mediaType string, data []byte) descriptor {
	return descriptor{Descriptor: shuin.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}}
}

// packProgram makes the image that "FROM scratch; COPY program /shuin;
// ENTRYPOINT /shuin" makes: one gzip layer and a config. note tells images of
// the same program apart. Times are fixed, so that the digest depends on the
// program alone.
func packProgram(path, note string) (*image, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	p, err := platformOf(path)
	if err != nil {
		return nil, err
	}
	layer, diffID, err := packLayer("shuin", program)
	if err != nil {
		return nil, fmt.Errorf("pack the layer: %w", err)
	}
	labels := map[string]string{"org.opencontainers.image.title": "shuin"}
	if note != "" {
		labels["org.opencontainers.image.description"] = note
	}
	config, err := json.Marshal(map[string]any{
		"architecture": p.Architecture,
		"os":           p.OS,
		"config":       map[string]any{"Entrypoint": []string{"/shuin"}, "Labels": labels},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []digest.Digest{diffID}},
		"history":      []map[string]any{{"created_by": "COPY shuin /shuin"}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     typeManifest,
		"config":        describe(typeConfig, config),
		"layers":        []descriptor{describe(typeLayer, layer)},
	})
	if err != nil {
		return nil, err
	}
	d := describe(typeManifest, manifest)
	d.Platform = &p
	return &image{descriptor: d, manifest: manifest, blobs: [][]byte{config, layer}}, nil
}

// packLayer is a tar of one executable file, compressed; diffID is the digest
// of the tar itself.
func packLayer(name string, program []byte) (layer []byte, diffID digest.Digest, err error) {
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if err := tw.WriteHeader(h); err != nil {
		return nil, "", err
	}
	if _, err := tw.Write(program); err != nil {
		return nil, "", err
	}
	if err := tw.Close(); err != nil {
		return nil, "", err
	}
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(plain.Bytes()); err != nil {
		return nil, "", err
	}
	if err := zw.Close(); err != nil {
		return nil, "", err
	}
	return packed.Bytes(), digest.FromBytes(plain.Bytes()), nil
}

// packIndex is the index of a multi-platform image.
func packIndex(images ...*image) (*image, error) {
	var entries []descriptor
	for _, i := range images {
		entries = append(entries, i.descriptor)
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": entries})
	if err != nil {
		return nil, err
	}
	return &image{descriptor: describe(typeIndex, index), manifest: index}, nil
}

// imageID is what a container runtime calls the image before it is pushed: the
// digest of its configuration.
func (i *image) imageID() string { return digest.FromBytes(i.blobs[0]).String() }
