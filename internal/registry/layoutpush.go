package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// PushSignature adds a signature to the layout: blobs, then the manifest, then
// its entry in index.json, each file written whole or not at all. Writers of
// the same layout wait for each other, through a lock on its file oci-layout,
// which is never replaced.
//
// The manifest has the legacy form, the type in the config's media type: the
// specification allows both (OCI-03), and notation up to 1.3 finds only this
// one in a layout, since it reads no artifactType there.
func (l *Layout) PushSignature(ctx context.Context, a shuin.Artifact, mediaType string, envelope []byte, annotations map[string]string) (shuin.Descriptor, error) {
	op := "write the signature of " + a.String()
	body, desc, err := newManifest(formConfig, a.Descriptor(), mediaType, envelope, annotations)
	if err != nil {
		return shuin.Descriptor{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: op, Err: err}
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return shuin.Descriptor{}, &shuin.Error{Code: shuin.CodeUnavailable, Message: op, Err: err}
	}
	defer unlock()
	l.sweep()
	for _, b := range [][]byte{[]byte(emptyJSON), envelope, body} {
		if err := l.writeBlob(b); err != nil {
			return shuin.Descriptor{}, &shuin.Error{Code: layoutCode(err), Message: op, Err: err}
		}
	}
	if err := l.addToIndexFile(op, desc); err != nil {
		return shuin.Descriptor{}, err
	}
	return desc.plain(), nil
}

// lock waits for the layout's lock as long as ctx and
// limits.ReferrersIndexTime allow.
func (l *Layout) lock(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, limits.ReferrersIndexTime)
	defer cancel()
	lock := flock.New(filepath.Join(l.path, layoutFile), flock.SetFlag(os.O_RDONLY))
	if ok, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil || !ok {
		return nil, fmt.Errorf("another process is writing the layout: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// writeBlob writes b under its digest, if it is not there already.
func (l *Layout) writeBlob(b []byte) error {
	d := digest.FromBytes(b)
	name := blobPath(d)
	have, err := l.read(name, int64(len(b)))
	if err == nil && digest.FromBytes(have) == d {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && shuin.CodeOf(err) != shuin.CodeLimit {
		return err
	}
	if err := l.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return l.replace(name, b, 0o644)
}

const (
	tempPrefix = ".shuin-"
	tempSuffix = ".tmp"
)

// sweep removes the temporary files that a killed writer left. Whoever calls it
// holds the lock, so that nobody is writing one.
func (l *Layout) sweep() {
	dir, err := l.root.Open(".")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(limits.LayoutManifests)
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix) {
			_ = l.root.Remove(name)
		}
	}
}

// replace writes a file whole or not at all: a temporary file at the layout's
// root, synced and renamed; beside the file where blobs are a mount of their own.
func (l *Layout) replace(name string, b []byte, mode fs.FileMode) error {
	err := l.replaceThrough("", name, b, mode)
	if errors.Is(err, syscall.EXDEV) {
		err = l.replaceThrough(path.Dir(name)+"/", name, b, mode)
	}
	return err
}

func (l *Layout) replaceThrough(dir, name string, b []byte, mode fs.FileMode) (err error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	tmp := dir + tempPrefix + hex.EncodeToString(random[:]) + tempSuffix
	f, err := l.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = l.root.Remove(tmp)
		}
	}()
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = l.root.Rename(tmp, name)
	}
	return err
}

// addToIndexFile adds an entry to index.json; what else is in it stays as it is.
func (l *Layout) addToIndexFile(op string, d descriptor) error {
	ix, b, err := l.readIndexFile(op)
	if err != nil {
		return err
	}
	for _, have := range ix.Manifests {
		if have.Digest == d.Digest {
			return nil
		}
	}
	var file indexFile
	if err := decode(b, &file); err != nil {
		return malformed(op, "%s: %w", indexFileName, err)
	}
	entry, err := json.Marshal(d, json.Deterministic(true))
	if err != nil {
		return err
	}
	file.Manifests = append(file.Manifests, entry)
	if len(file.Manifests) > limits.LayoutManifests {
		return exceeded(op, "LayoutManifests", "more than %d manifests", limits.LayoutManifests)
	}
	out, err := json.Marshal(file, json.Deterministic(true))
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := l.root.Lstat(indexFileName); err == nil {
		mode = info.Mode().Perm()
	}
	if err := l.replace(indexFileName, out, mode); err != nil {
		return &shuin.Error{Code: layoutCode(err), Message: op, Err: err}
	}
	return nil
}
