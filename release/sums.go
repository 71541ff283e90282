package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

const (
	sumsFile  = "SHA256SUMS"
	signature = ".jws.sig" // what blob sign appends
)

// sums writes SHA256SUMS of all files, as sha256sum -c reads it.
func (r *release) sums(context.Context) error {
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return os.WriteFile(filepath.Join(r.out, sumsFile), b.Bytes(), 0o644)
}

// seal signs every file with the shuin that was built for this machine.
func (r *release) seal(ctx context.Context) error {
	if r.unsigned {
		return nil
	}
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	shuin := r.binary("shuin", target{runtime.GOOS, runtime.GOARCH})
	if _, err := os.Stat(shuin); err != nil {
		return fmt.Errorf("there is no shuin for this machine to sign with: %w", err)
	}
	for _, f := range files {
		args := []string{"blob", "sign", "--key", r.key, "--signature-format", "jws", "--user-metadata", "version=" + r.version, "--user-metadata", "commit=" + r.commit, filepath.Join(r.out, f.Name())}
		cmd := exec.CommandContext(ctx, shuin, args...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("sign %s: %w", f.Name(), err)
		}
		if _, err := os.Stat(filepath.Join(r.out, f.Name()+signature)); err != nil {
			return fmt.Errorf("sign %s: %w", f.Name(), err)
		}
	}
	return nil
}
