package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// member is one file of an archive or a package.
type member struct {
	name string
	data []byte
	mode os.FileMode
}

// archives writes PROGRAM_VERSION_OS_ARCH.tar.gz (zip for Windows) and the SBOM
// of each binary.
func (r *release) archives(ctx context.Context) error {
	for _, t := range r.targets {
		for _, p := range programs {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.archive(p, t); err != nil {
				return fmt.Errorf("archive %s for %s: %w", p, t, err)
			}
			if err := r.sbom(p, t); err != nil {
				return fmt.Errorf("SBOM of %s for %s: %w", p, t, err)
			}
		}
	}
	return nil
}

func (r *release) archive(program string, t target) error {
	members, err := r.members(program, t)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s_%s_%s", program, r.version, t)
	if t.os == "windows" {
		return r.write(name+".zip", func(w io.Writer) error { return r.zip(w, members) })
	}
	return r.write(name+".tar.gz", func(w io.Writer) error { return r.tar(w, members) })
}

// members are the binary and the licences: Shuin's own and those of all that is
// linked into it.
func (r *release) members(program string, t target) ([]member, error) {
	data, err := os.ReadFile(r.binary(program, t))
	if err != nil {
		return nil, err
	}
	others, err := r.licences(r.binary(program, t))
	if err != nil {
		return nil, err
	}
	list := []member{{t.exe(program), data, 0o755}}
	for _, name := range []string{"LICENSE", "NOTICE"} {
		data, err := os.ReadFile(filepath.Join(r.source, name))
		if err != nil {
			return nil, err
		}
		list = append(list, member{name, data, 0o644})
	}
	return append(list, member{"THIRD-PARTY-LICENSES", others, 0o644}), nil
}

// write makes a file of the release.
func (r *release) write(name string, fill func(io.Writer) error) error {
	f, err := os.OpenFile(filepath.Join(r.out, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := fill(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (r *release) tar(w io.Writer, members []member) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	a := tar.NewWriter(z)
	for _, m := range members {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.data)), Mode: int64(m.mode), ModTime: r.when, Format: tar.FormatUSTAR}
		if err := a.WriteHeader(h); err != nil {
			return err
		}
		if _, err := a.Write(m.data); err != nil {
			return err
		}
	}
	if err := a.Close(); err != nil {
		return err
	}
	return z.Close()
}

func (r *release) zip(w io.Writer, members []member) error {
	a := zip.NewWriter(w)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: r.when}
		h.SetMode(m.mode)
		f, err := a.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(m.data); err != nil {
			return err
		}
	}
	return a.Close()
}
