package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Package is a plugin package (PLG-02): a zip, a tar.gz, or the executable
// itself. It lies in a temporary file of this user's own, so that what was
// compared with a checksum is what is installed. Write to it, or take
// [OpenPackage]; close it when done. Nothing of it is run before Install.
type Package struct {
	// Name is the file's name, which a bare executable keeps.
	Name string
	// Path is what messages call the package.
	Path string
	// Mode is the file's; a bare executable needs the owner's right to execute.
	Mode fs.FileMode

	file *os.File
	gone bool // the file has no name any more
	sum  hash.Hash
	size int64
}

// NewPackage is an empty package, to be written.
func NewPackage() (*Package, error) {
	f, err := os.CreateTemp("", tempPrefix+"*"+tempSuffix)
	if err != nil {
		return nil, invalid(err)
	}
	// Without a name it goes with this process, however that ends.
	gone := os.Remove(f.Name()) == nil
	return &Package{file: f, gone: gone, sum: sha256.New()}, nil
}

// OpenPackage copies the package at path, a regular file.
func OpenPackage(path string) (_ *Package, err error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, invalid(err)
	}
	defer f.Close()
	if info.Size() >= limits.PluginBinary {
		return nil, overLimit("file")
	}
	p, err := NewPackage()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.Close()
		}
	}()
	p.Name, p.Path, p.Mode = filepath.Base(path), path, info.Mode()
	if _, err := io.Copy(struct{ io.Writer }{p}, f); err != nil {
		return nil, invalid(err)
	}
	return p, nil
}

// openRegular opens a regular file, or what a symlink to one leads to. It never
// waits, as opening a pipe would.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a valid file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%s was replaced while it was opened", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Write appends to the package, up to limits.PluginBinary.
func (p *Package) Write(b []byte) (int, error) {
	if p.size+int64(len(b)) >= limits.PluginBinary {
		return 0, overLimit("file")
	}
	n, err := p.file.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	return n, err
}

// Close removes the temporary file.
func (p *Package) Close() error {
	err := p.file.Close()
	if !p.gone {
		err = errors.Join(err, os.Remove(p.file.Name()))
	}
	return err
}

// ErrChecksum is a package with another SHA-256 than was asked for.
var ErrChecksum = errors.New("plugin SHA-256 checksum does not match user input")

// Check compares the package's SHA-256 with that which the user wrote, in
// hexadecimal digits of either case. The error holds [ErrChecksum].
func (p *Package) Check(sum string) error {
	got := hex.EncodeToString(p.sum.Sum(nil))
	if strings.EqualFold(got, sum) {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Err: fmt.Errorf("%w. Expecting %s", ErrChecksum, sum),
		Hint: "it is " + got + ": take what the plugin's publisher says, and nothing else"}
}

// format is the form of a package.
type format uint8

const (
	bare format = iota
	zipped
	tarred
)

// format tells the package's form by its first bytes.
func (p *Package) format() (format, error) {
	var head [4]byte
	n, err := p.file.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return bare, err
	}
	switch {
	case bytes.HasPrefix(head[:n], []byte("PK\x03\x04")):
		return zipped, nil
	case bytes.HasPrefix(head[:n], []byte("\x1f\x8b\x08")):
		return tarred, nil
	}
	return bare, nil
}

// content reads the package from its beginning.
func (p *Package) content() *io.SectionReader { return io.NewSectionReader(p.file, 0, p.size) }

// overLimit is a package, or all its files, of too many bytes.
func overLimit(what string) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s size reached the %d MiB size limit", what, limits.PluginBinary>>20)}
}

// invalid gives an error of this border a code, where it has none.
func invalid(err error) error {
	var known *shuin.Error
	if errors.As(err, &known) {
		return err
	}
	code := shuin.CodeInvalidInput
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		code = shuin.CodeDeadline
	}
	return &shuin.Error{Code: code, Err: err}
}
