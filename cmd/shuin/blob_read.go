package main

import (
	"context"
	"errors"
	"io"
	"math"
	"mime"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
)

// blobFile is a blob that is open. It may be larger than memory, and a pipe.
type blobFile struct {
	file *os.File
	read bool
}

// openBlob waits for a pipe's other end as long as ctx lasts.
func openBlob(ctx context.Context, path string) (*blobFile, error) {
	f, err := interruptible(ctx, func() (*os.File, error) { return os.Open(path) })
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err}
	}
	return &blobFile{file: f}, nil
}

func (b *blobFile) close() { _ = b.file.Close() }

// digest reads the blob as verify.BlobReader says. What is read a second time
// has to be a file.
func (b *blobFile) digest(ctx context.Context, algorithm digest.Algorithm, most int64) (digest.Digest, int64, error) {
	if b.read {
		if _, err := b.file.Seek(0, io.SeekStart); err != nil {
			return "", 0, errors.New("it is a pipe, which can be read once, and has to be read again for the hash of the signing key: give a file")
		}
	}
	b.read = true
	if info, err := b.file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > most {
		return "", info.Size(), nil
	}
	var in io.Reader = untilDone{ctx, b.file}
	if most < math.MaxInt64 {
		in = io.LimitReader(in, most+1)
	}
	digester := algorithm.Digester()
	// A read from a pipe may never return.
	n, err := interruptible(ctx, func() (int64, error) { return io.CopyBuffer(digester.Hash(), in, make([]byte, 1<<20)) })
	if err != nil {
		return "", 0, err
	}
	return digester.Digest(), n, nil
}

// untilDone ends with ctx.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// checkMediaType refuses what is no media type; an empty one is for the caller.
func checkMediaType(s string) error {
	if s == "" {
		return nil
	}
	if _, _, err := mime.ParseMediaType(s); err != nil {
		return invalidf("invalid content media-type %q: %v", s, err)
	}
	return nil
}
