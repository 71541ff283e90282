package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/limits"
)

// startRegistry serves a dev registry on a free loopback port. The address is
// "localhost:PORT", which everybody speaks plain HTTP to. stop ends it.
func startRegistry(ctx context.Context, o devregistry.Options) (address string, stop func() error, err error) {
	reg, err := devregistry.New(o)
	if err != nil {
		return "", nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen on loopback: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- reg.Serve(ctx, ln) }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		cancel()
		return "", nil, errors.Join(err, <-done)
	}
	return "localhost:" + port, func() error {
		cancel()
		return errors.Join(<-done, reg.Close())
	}, nil
}

// client pushes and reads what no command of shuin does: images, and the
// signature that is tampered with.
type client struct {
	address string
	http    http.Client
}

func newClient(address string) *client {
	return &client{address: address, http: http.Client{Timeout: time.Minute}}
}

// do sends one request and wants one status.
func (c *client) do(ctx context.Context, method, path, contentType string, body []byte, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", typeManifest+", "+typeIndex)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limits.EnvelopeBytes))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, nil
}

func (c *client) pushBlob(ctx context.Context, repo string, data []byte) error {
	_, err := c.do(ctx, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromBytes(data).String(), "application/octet-stream", data, http.StatusCreated)
	return err
}

// push stores an image under a tag, or under its digest when tag is empty.
func (c *client) push(ctx context.Context, repo, tag string, i *image) error {
	for _, b := range i.blobs {
		if err := c.pushBlob(ctx, repo, b); err != nil {
			return fmt.Errorf("push a blob of %s: %w", repo, err)
		}
	}
	if tag == "" {
		tag = i.Digest.String()
	}
	if _, err := c.do(ctx, "PUT", "/v2/"+repo+"/manifests/"+tag, i.MediaType, i.manifest, http.StatusCreated); err != nil {
		return fmt.Errorf("push %s:%s: %w", repo, tag, err)
	}
	return nil
}

// signatureManifest is what the demo has to know of one.
type signatureManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        json.RawMessage   `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Subject       descriptor        `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// replaceSignature reads the one signature of an artifact, changes its
// envelope, and puts the result in its place.
func (c *client) replaceSignature(ctx context.Context, repo string, subject digest.Digest, change func(mediaType string, envelope []byte) ([]byte, error)) error {
	base := "/v2/" + repo
	answer, err := c.do(ctx, "GET", base+"/referrers/"+subject.String()+"?artifactType="+shuin.ArtifactTypeSignature, "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(answer, &index); err != nil || len(index.Manifests) != 1 {
		return fmt.Errorf("want one signature of %s, got %s (%v)", subject, answer, err)
	}
	old := index.Manifests[0].Digest.String()
	if answer, err = c.do(ctx, "GET", base+"/manifests/"+old, "", nil, http.StatusOK); err != nil {
		return err
	}
	var m signatureManifest
	if err := json.Unmarshal(answer, &m); err != nil || len(m.Layers) != 1 {
		return fmt.Errorf("signature manifest %s: %v: %s", old, err, answer)
	}
	envelope, err := c.do(ctx, "GET", base+"/blobs/"+m.Layers[0].Digest.String(), "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	changed, err := change(m.Layers[0].MediaType, envelope)
	if err != nil {
		return err
	}
	if err := c.pushBlob(ctx, repo, changed); err != nil {
		return err
	}
	m.Layers[0] = describe(m.Layers[0].MediaType, changed)
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := c.do(ctx, "PUT", base+"/manifests/"+digest.FromBytes(body).String(), m.MediaType, body, http.StatusCreated); err != nil {
		return err
	}
	_, err = c.do(ctx, "DELETE", base+"/manifests/"+old, "", nil, http.StatusAccepted)
	return err
}
