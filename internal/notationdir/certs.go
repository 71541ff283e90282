package notationdir

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/trust"
)

// checkStoreName refuses what cannot name a trust store, in notation's words.
func checkStoreName(name trust.StoreName) error {
	if name.Type == "" {
		return invalidf("store type cannot be empty")
	}
	if !name.Type.Valid() {
		return invalidf("unsupported store type: %s", name.Type)
	}
	return checkName("named store name", name.Name)
}

// checkName refuses a name that is not [a-zA-Z0-9_.-]+.
func checkName(what, name string) error {
	if !trust.ValidName(name) {
		return invalidf("%s needs to follow [a-zA-Z0-9_.-]+ format", what)
	}
	return nil
}

// CertificateFile is one file of a trust store.
type CertificateFile struct {
	Store trust.StoreName
	Name  string // file name
	Path  string
}

// AddCertificate copies the certificate file at path, byte for byte, into a
// store under its own name, and makes the store if need be. The file must hold
// at least one certificate, PEM or DER; whether the store's type allows it is
// judged when the store is used, as notation does. A file of that name in the
// store is not replaced.
func (d Dir) AddCertificate(name trust.StoreName, path string) (CertificateFile, error) {
	if err := checkStoreName(name); err != nil {
		return CertificateFile{}, err
	}
	data, err := readForeign(path)
	if err != nil {
		return CertificateFile{}, invalid(err, "")
	}
	if _, err := parseCertificates(data); err != nil {
		return CertificateFile{}, invalid(err, "")
	}
	f := CertificateFile{Store: name, Name: filepath.Base(path)}
	dir := d.StorePath(name)
	f.Path = filepath.Join(dir, f.Name)
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() { // TS-02
		return CertificateFile{}, storeError(name, dir, errNotDirectory)
	}
	err = d.createFile(f.Path, data, filePerm)
	if errors.Is(err, fs.ErrExist) {
		return CertificateFile{}, invalidf("certificate already exists in the Trust Store")
	}
	if err != nil {
		return CertificateFile{}, invalid(err, "")
	}
	return f, nil
}

// readForeign reads a certificate file outside the directory. A symlink is
// followed there; a pipe or device is refused.
func readForeign(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(io.Reader(f), path, limits.TrustStoreFile)
}

// ListCertificates lists the certificate files of the stores, by type (ca,
// signingAuthority, tsa), store and file name. An empty typ or store stands
// for all; an unknown type lists nothing. Sub-directories of a store and
// symlinks are left out. A file that is no certificate is an error.
func (d Dir) ListCertificates(typ trust.StoreType, store string) ([]CertificateFile, error) {
	if store != "" {
		if err := checkName("named store name", store); err != nil {
			return nil, err
		}
	}
	var out []CertificateFile
	for _, t := range trust.StoreTypes() {
		if typ != "" && typ != t {
			continue
		}
		names := []string{store}
		if store == "" {
			var err error
			if names, err = d.storeNames(t); err != nil {
				return nil, invalid(err, "")
			}
		}
		for _, n := range names {
			files, err := d.storeFiles(trust.StoreName{Type: t, Name: n})
			if err != nil {
				return nil, invalid(err, "")
			}
			out = append(out, files...)
		}
	}
	return out, nil
}

// storeNames are the directories of the stores of type t.
func (d Dir) storeNames(t trust.StoreType) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.config, trustStoreDir, x509Dir, string(t)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// storeFiles are the certificate files of one store, none when it does not exist.
func (d Dir) storeFiles(name trust.StoreName) ([]CertificateFile, error) {
	dir := d.StorePath(name)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []CertificateFile
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if _, err := readCertificates(path); err != nil {
			return nil, err
		}
		files = append(files, CertificateFile{Store: name, Name: e.Name(), Path: path})
	}
	return files, nil
}

// ShowCertificate reads the certificates of one file of a store.
func (d Dir) ShowCertificate(name trust.StoreName, file string) ([]*x509.Certificate, error) {
	path, err := d.certificatePath(name, file)
	if err != nil {
		return nil, err
	}
	certs, err := readCertificates(path)
	if err != nil {
		return nil, invalid(err, "")
	}
	return certs, nil
}

// certificatePath is the path of a file of a store. A file name that leads
// elsewhere is refused.
func (d Dir) certificatePath(name trust.StoreName, file string) (string, error) {
	if err := checkStoreName(name); err != nil {
		return "", err
	}
	if file == "" {
		return "", invalidf("certificate fileName cannot be empty")
	}
	if file != filepath.Base(file) || file == "." || file == ".." {
		return "", invalidf("certificate fileName %q is not the name of a file in the store", file)
	}
	return filepath.Join(d.StorePath(name), file), nil
}

// DeleteCertificate removes one file of a store, and the store's directory
// when nothing is left in it. Failures of the latter come as warnings. The
// error holds fs.ErrNotExist when there is no such file.
func (d Dir) DeleteCertificate(name trust.StoreName, file string) (warnings []string, err error) {
	path, err := d.certificatePath(name, file)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, invalid(err, "")
	}
	if info.IsDir() {
		return nil, invalidf("%s is a directory, not a certificate", path)
	}
	if err := os.Remove(path); err != nil {
		return nil, invalid(err, "")
	}
	dir := filepath.Dir(path)
	empty, err := isEmpty(dir)
	if err != nil {
		return []string{fmt.Sprintf("failed to check if the trust store directory %s is empty: %v", dir, err)}, nil
	}
	if empty {
		if err := os.Remove(dir); err != nil {
			return []string{fmt.Sprintf("failed to remove the empty trust store directory %s: %v", dir, err)}, nil
		}
	}
	return nil, nil
}

// isEmpty reports whether a directory holds nothing.
func isEmpty(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// DeleteStore removes a store with all it holds, and returns its path. The
// error holds fs.ErrNotExist when there is no such store.
func (d Dir) DeleteStore(name trust.StoreName) (path string, err error) {
	if err := checkStoreName(name); err != nil {
		return "", err
	}
	path = d.StorePath(name)
	if _, err := os.Lstat(path); err != nil {
		return "", invalid(err, "")
	}
	if err := os.RemoveAll(path); err != nil {
		return "", invalid(err, "")
	}
	return path, nil
}
