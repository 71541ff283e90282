package devregistry

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// blob serves GET, HEAD (with ranges) and DELETE of a blob.
func (c *call) blob() error {
	d, aerr := parseDigest(c.t.ref)
	if aerr != nil {
		return aerr
	}
	unknown := refuse(http.StatusNotFound, "BLOB_UNKNOWN", "no blob %s in %s", d, c.t.repo)
	if c.req.Method == http.MethodDelete {
		if c.opts.NoDelete {
			return c.methodRefused()
		}
		found, err := c.store.removeBlob(c.t.repo, d)
		if err != nil {
			return internal(err)
		}
		if !found {
			return unknown
		}
		c.empty(http.StatusAccepted)
		return nil
	}
	if !c.reads() {
		return c.methodRefused()
	}
	content, err := c.store.openBlob(c.t.repo, d)
	if err != nil {
		return internal(err)
	}
	if content == nil {
		return unknown
	}
	defer content.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	http.ServeContent(c.w, c.req, "", time.Time{}, content)
	return nil
}

// upload serves the upload endpoints (OCI distribution specification, "Pushing blobs").
func (c *call) upload() error {
	if c.t.ref == "" {
		if c.req.Method != http.MethodPost {
			return c.methodRefused()
		}
		return c.beginUpload()
	}
	unknown := refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no upload %q in %s", c.t.ref, c.t.repo)
	u := c.store.uploadOf(c.t.repo, c.t.ref)
	if u == nil {
		return unknown
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended { // by another request, while this one waited
		return unknown
	}
	switch c.req.Method {
	case http.MethodGet:
		c.progress(u, http.StatusNoContent)
		return nil
	case http.MethodPatch:
		if err := c.chunk(u); err != nil {
			return err
		}
		c.progress(u, http.StatusAccepted)
		return nil
	case http.MethodPut:
		return c.endUpload(u)
	case http.MethodDelete:
		c.store.forget(u)
		c.empty(http.StatusNoContent)
		return nil
	}
	return c.methodRefused()
}

// beginUpload serves POST: a mount, a whole blob, or the begin of an upload.
func (c *call) beginUpload() error {
	q := c.req.URL.Query()
	if q.Has("mount") {
		d, aerr := parseDigest(q.Get("mount"))
		if aerr != nil {
			return aerr
		}
		ok, err := c.store.mount(c.t.repo, q.Get("from"), d)
		if err != nil {
			return internal(err)
		}
		if ok {
			c.blobCreated(d)
			return nil
		}
	}
	u, err := c.store.begin(c.t.repo, rand.Text())
	if err != nil {
		return internal(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if q.Has("digest") && !c.opts.NoSinglePost {
		return c.endUpload(u)
	}
	c.progress(u, http.StatusAccepted)
	return nil
}

// chunk appends the body to u.
func (c *call) chunk(u *upload) error {
	start, want := u.size, int64(-1)
	if s := c.req.Header.Get("Content-Range"); s != "" {
		first, last, _ := strings.Cut(s, "-")
		from, ferr := strconv.ParseUint(first, 10, 62)
		to, terr := strconv.ParseUint(last, 10, 62)
		if err := errors.Join(ferr, terr); err != nil {
			return refuse(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "invalid Content-Range %q: %v", s, err)
		}
		if int64(from) != start {
			c.where(u)
			return refuse(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "chunk starts at %d, the upload goes on at %d", from, start)
		}
		want = int64(to) - int64(from) + 1
	}
	n, err := u.append(http.MaxBytesReader(c.w, c.req.Body, c.opts.MaxBlobBytes-u.size))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a blob may have %d bytes", c.opts.MaxBlobBytes)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "read the chunk: %v", err)
	}
	u.touched = time.Now()
	if want >= 0 && n != want {
		if err := u.cut(start); err != nil {
			return internal(err)
		}
		return refuse(http.StatusBadRequest, "SIZE_INVALID", "Content-Range says %d bytes, the body has %d", want, n)
	}
	return nil
}

// endUpload takes the last (or only) bytes and stores the blob. A wrong digest
// ends the upload, too.
func (c *call) endUpload(u *upload) error {
	d, aerr := parseDigest(c.req.URL.Query().Get("digest"))
	if aerr != nil {
		return aerr
	}
	if err := c.chunk(u); err != nil {
		return err
	}
	defer c.store.forget(u)
	same, err := u.is(d)
	if err != nil {
		return internal(err)
	}
	if !same {
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", "the %d bytes uploaded are not %s", u.size, d)
	}
	if err := c.store.addBlob(c.t.repo, d, u); err != nil {
		return internal(err)
	}
	c.blobCreated(d)
	return nil
}

// progress says how far an upload is.
func (c *call) progress(u *upload, status int) {
	c.where(u)
	c.empty(status)
}

// where sets the headers with which a client goes on. An upload without bytes
// says 0-0, as registries do: the specification has no form for it.
func (c *call) where(u *upload) {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.t.repo+"/blobs/uploads/"+url.PathEscape(u.id))
	h.Set("Range", fmt.Sprintf("0-%d", max(u.size-1, 0)))
	h.Set("Docker-Upload-Uuid", u.id)
}

func (c *call) blobCreated(d digest.Digest) {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.t.repo+"/blobs/"+d.String())
	h.Set("Docker-Content-Digest", d.String())
	c.empty(http.StatusCreated)
}

func (c *call) empty(status int) {
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
}

func internal(err error) *apiError {
	return refuse(http.StatusInternalServerError, "UNSUPPORTED", "storage: %v", err)
}
