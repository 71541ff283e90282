package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
)

// writeBundle writes the signature first, by the bundle's digest and by its
// fixed name: nobody who follows the file finds a bundle whose signature is
// still to come, and the first name takes no other bundle's signature away.
func writeBundle(path string, data []byte, made *bundleSignature) error {
	if made != nil {
		for _, name := range []string{bundle.SignatureName(path, data, made.suffix), path + made.suffix} {
			if err := replaceFile(name, made.envelope); err != nil {
				return err
			}
		}
	}
	return replaceFile(path, data)
}

// replaceFile writes a whole file, or leaves what was there.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "write " + path, Err: err}
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644) // certificates and rules: nothing in it is a secret
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return &shuin.Error{Code: shuin.CodeInvalidInput, Err: fmt.Errorf("write %s: %w", path, err)}
	}
	return nil
}
