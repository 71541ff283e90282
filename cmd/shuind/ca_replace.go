package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

// replacement is an intermediate that takes the place of another. Every step
// can be done again, so that one that was killed half-way ends when the same
// command is given again; so does one that begins with files that were put
// back after an earlier replacement.
type replacement struct {
	files    caFiles
	identity *age.Identity
	old      *issue.Authority
	root     *x509.Certificate // of the new one
}

// inPlaceOf puts the intermediate that make writes in the place of the old
// one, after that one's last CRL. What would stop it is found before anything
// is made.
func (y *ceremony) inPlaceOf(ctx context.Context, r replacement, make func(tmp string) error) error {
	todo, err := r.asides()
	if err != nil {
		return err
	}
	if err := r.files.sweep(); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(r.files.dir, unfinished+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := make(tmp); err != nil {
		return err
	}
	if err := y.lastCRL(ctx, r.old); err != nil {
		return fmt.Errorf("the last CRL of the intermediate that is to be replaced: %w", err)
	}
	for _, step := range r.steps(todo, caFiles{tmp}) {
		if err := step(); err != nil {
			return fmt.Errorf("put the new intermediate in place of the old one (give the command again once this is mended): %w", err)
		}
	}
	return nil
}

// unfinished begins the names of the directories that new files are made in.
const unfinished = ".new-"

// sweep removes what a replacement left that was killed: files of a CA that
// was never used. The caller has the data directory for itself.
func (f caFiles) sweep() error {
	entries, err := os.ReadDir(f.dir) // no pattern: the path may hold its characters
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(f.dir, e.Name())))
		}
	}
	return err
}

// replaced opens the intermediate that is to be replaced. Its key is aside
// already where a replacement was killed between its last two steps.
func (f caFiles) replaced(identity *age.Identity) (*issue.Authority, error) {
	old, err := f.open(f.intermediateKey(), identity)
	if err != nil {
		if chain, failed := f.chain(); failed == nil {
			if kept, failed := f.open(f.aside("intermediate", chain[0], keyExt), identity); failed == nil {
				return kept, nil
			}
		}
		return nil, fmt.Errorf("the intermediate that is to be replaced: %w", err)
	}
	return old, nil
}

// What the names of certificates and of keys end with.
const (
	certExt = ".pem"
	keyExt  = ".key.age"
)

// aside is where a file of a replaced CA stays: under its serial number.
func (f caFiles) aside(name string, cert *x509.Certificate, ext string) string {
	return filepath.Join(f.dir, name+"-"+cert.SerialNumber.Text(16)+ext)
}

// link is a file that is to stay aside. check says what is wrong with what is
// at a path, either from or to.
type link struct {
	from, to string
	check    func(path string) error
}

func (r replacement) links() []link {
	f, cert, root := r.files, r.old.Chain()[0], r.oldRoot()
	all := []link{
		{f.intermediateKey(), f.aside("intermediate", cert, keyExt), func(path string) error { return r.sameKey(path, cert) }},
		{f.intermediate(), f.aside("intermediate", cert, certExt), func(path string) error { return sameCert(path, cert) }},
	}
	if root.Equal(r.root) {
		return all
	}
	return append(all,
		link{f.root(), f.aside("root", root, certExt), func(path string) error { return sameCert(path, root) }},
		link{f.rootKey(), f.aside("root", root, keyExt), func(path string) error { return sameFile(f.rootKey(), path) }},
	)
}

// asides are the files that are to be put aside and are not yet. One that is
// aside is the right one or an error: nothing is ever replaced.
func (r replacement) asides() (todo []link, failed error) {
	for _, l := range r.links() {
		_, err := os.Lstat(l.to)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			todo = append(todo, l)
			if err = l.check(l.from); err != nil {
				err = fmt.Errorf("%s cannot be kept: %w", l.from, err)
			}
		case err == nil:
			if err = l.check(l.to); err != nil {
				err = invalid("move it away: what is replaced is kept under that name", "%s exists already: %w", l.to, err)
			}
		}
		failed = errors.Join(failed, err)
	}
	return todo, failed
}

func (r replacement) oldRoot() *x509.Certificate {
	chain := r.old.Chain()
	return chain[len(chain)-1]
}

func (r replacement) sameKey(path string, cert *x509.Certificate) error {
	key, err := age.LoadKey(path, r.identity.Lock())
	if err != nil {
		return keyHint(err)
	}
	if !samePublic(key, cert) {
		return errors.New("it is the key of another certificate")
	}
	return nil
}

func sameCert(path string, cert *x509.Certificate) error {
	chain, err := readChain(path)
	if err != nil {
		return err
	}
	if !chain[0].Equal(cert) {
		return errors.New("it is another certificate with the same serial number")
	}
	return nil
}

// sameFile compares the root's keys as they are encrypted: what opens them is
// not here. None at from is as good: it is off-line, or was never here.
func sameFile(from, to string) error {
	now, err := readFile(from, limits.KeyFileBytes, "KeyFileBytes")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept, err := readFile(to, limits.KeyFileBytes, "KeyFileBytes")
	if err == nil && !bytes.Equal(now, kept) {
		err = fmt.Errorf("it is not the same as %s", from)
	}
	return err
}

// steps link the old files aside and move those made in their place; root and
// root's key too if made has another root. Ended half-way, key, certificate and
// root do not belong together, which every start notices.
func (r replacement) steps(todo []link, made caFiles) []func() error {
	f := r.files
	var steps []func() error
	for _, l := range todo {
		steps = append(steps, func() error { return l.make(f.rootKey()) })
	}
	steps = append(steps, func() error { return syncDir(f.dir) })
	if !r.oldRoot().Equal(r.root) {
		steps = append(steps,
			func() error { return os.Rename(made.root(), f.root()) },
			func() error { return gone(os.Remove(f.rootKey())) })
	}
	return append(steps,
		func() error { return os.Rename(made.intermediateKey(), f.intermediateKey()) },
		func() error { return os.Rename(made.intermediate(), f.intermediate()) },
		func() error { return syncDir(f.dir) })
}

// make keeps a file; optional is the path of one that need not be there.
func (l link) make(optional string) error {
	err := os.Link(l.from, l.to)
	if l.from == optional {
		return gone(err)
	}
	return err
}

// gone takes a file that is not there for done.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
