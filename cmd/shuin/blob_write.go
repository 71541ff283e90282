package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/sign"
)

// storeBlobSignature writes the signature to its file. One that is there is
// replaced only by the user's leave.
func (a *app) storeBlobSignature(ctx context.Context, o *blobSignOptions, signed *sign.Signed) error {
	path := signatureFile(o.directory, o.blob, o.format)
	a.debug().Info("Writing signature to file " + path)
	replace := o.force
	if o.force {
		a.warnf("existing signature file will be overwritten")
	} else if _, err := os.Stat(path); err == nil {
		ok, err := a.confirm(ctx, "The signature file already exists, do you want to overwrite it?", false)
		if err != nil || !ok {
			return err
		}
		replace = true
	}
	if err := writeSignatureFile(path, signed.Envelope, replace); err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "failed to write signature to file", Err: err}
	}
	// The space is notation's.
	_, err := fmt.Fprintf(a.stdout, "Successfully signed %s\n Signature file written to %s\n", visible(o.blob), visible(path))
	return err
}

// Permissions of a new signature file, and of a directory made for it.
const (
	signatureFilePerm fs.FileMode = 0o600
	signatureDirPerm  fs.FileMode = 0o700
)

// writeSignatureFile writes a whole signature file or none, and makes its
// directory. Without replace a file that is there, or that somebody made
// meanwhile, stays as it is, and that is an error that holds fs.ErrExist. What
// is replaced keeps its permissions.
func writeSignatureFile(path string, data []byte, replace bool) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), signatureDirPerm); err != nil {
		return err
	}
	perm := signatureFilePerm
	if info, err := os.Stat(path); replace && err == nil {
		if !info.Mode().IsRegular() {
			return &fs.PathError{Op: "open", Path: path, Err: errors.New("is not a regular file")}
		}
		perm = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if replace {
		return os.Rename(f.Name(), path)
	}
	return moveNew(f.Name(), path)
}

// moveNew renames a file to a name that is free. A hard link never replaces;
// where there are none, a look has to do.
func moveNew(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return &fs.PathError{Op: "open", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}
