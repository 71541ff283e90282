package plugin

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// unpacker writes the files of one package into a directory of their own. Only
// regular files are written, each under its base name; links, devices and
// directories never are. A name that would lead out of the directory is refused,
// also of what is not written.
type unpacker struct {
	ctx     context.Context
	root    *os.Root
	archive string // what errors call the package: "zip", "tar.gz"
	total   int64  // bytes of the files so far
	entries int
	files   map[string]fs.FileMode
	skipped []string
	trace   func(format string, args ...any)
}

// unpack writes what the package of that format holds.
func (u *unpacker) unpack(p *Package, f format) error {
	switch f {
	case zipped:
		u.archive = "zip"
		return u.unzip(p.content())
	case tarred:
		u.archive = "tar.gz"
		return u.untar(p.content())
	}
	return u.write(p.Name, p.content(), p.size, p.Mode)
}

// unzip takes the files at the archive's top; those in directories are passed
// over. All names are looked at before anything is written.
func (u *unpacker) unzip(content *io.SectionReader) error {
	z, err := openZip(content)
	if err != nil {
		return err
	}
	top := make([]*zip.File, 0, min(len(z.File), limits.PluginFiles))
	names := make(map[string]bool)
	for _, f := range z.File {
		if err := u.checkEntry(f.Name); err != nil {
			return err
		}
		name := path.Clean(strings.ReplaceAll(f.Name, `\`, "/"))
		if strings.HasSuffix(f.Name, "/") || strings.Contains(name, "/") {
			continue
		}
		if names[name] {
			return fmt.Errorf("%s: duplicate entries in zip file", printable(name))
		}
		names[name] = true
		if !f.Mode().IsRegular() {
			u.skip(f.Name)
			continue
		}
		top = append(top, f)
	}
	slices.SortFunc(top, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range top {
		if err := u.writeZipped(f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) writeZipped(f *zip.File) error {
	if f.UncompressedSize64 >= limits.PluginBinary {
		return overLimit("total file")
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	return u.write(path.Clean(f.Name), r, int64(f.UncompressedSize64), f.Mode())
}

// openZip reads the list of entries, up to limits.PluginDirectory: it is all in
// memory then.
func openZip(content *io.SectionReader) (*zip.Reader, error) {
	r := &metered{r: content, left: limits.PluginDirectory}
	z, err := zip.NewReader(r, content.Size())
	switch {
	case r.left < 0:
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the zip's list of files has more than %d bytes", limits.PluginDirectory)}
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // we look at names ourselves
		return nil, err
	}
	r.open = true
	return z, nil
}

// metered reads until left bytes were read, and without end once it is open.
type metered struct {
	r    io.ReaderAt
	left int64
	open bool
}

func (m *metered) ReadAt(b []byte, at int64) (int, error) {
	if m.open {
		return m.r.ReadAt(b, at)
	}
	if m.left -= int64(len(b)); m.left < 0 {
		return 0, errTooLong
	}
	return m.r.ReadAt(b, at)
}

// untar takes every regular file, whatever directory it is in.
func (u *unpacker) untar(content io.Reader) error {
	z, err := gzip.NewReader(bufio.NewReader(content))
	if err != nil {
		return err
	}
	all := &unpacked{r: z, left: limits.PluginBinary + limits.PluginUnpacked}
	t := tar.NewReader(all)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if err := u.checkEntry(h.Name); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			if strings.HasSuffix(h.Name, "/") {
				continue
			}
			if err := u.write(path.Base(h.Name), t, h.Size, h.FileInfo().Mode()); err != nil {
				return err
			}
		case tar.TypeDir, tar.TypeXGlobalHeader:
		default:
			u.skip(h.Name)
		}
	}
	// What is left is padding; with it ends the checksum of gzip.
	_, err = io.Copy(io.Discard, u.stoppable(all))
	return err
}

// unpacked reads up to left bytes; one more is too many.
type unpacked struct {
	r    io.Reader
	left int64
}

func (b *unpacked) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, overLimit("total file")
	}
	return n, err
}

// checkEntry checks the name of any entry, written or not.
func (u *unpacker) checkEntry(name string) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if u.entries++; u.entries > limits.PluginFiles {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s has more than %d entries", u.archive, limits.PluginFiles)}
	}
	switch {
	case strings.Contains(name, ".."):
		return fmt.Errorf("file name in %s cannot contain '..', but found %q", u.archive, inShort(name))
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, `\`), len(name) > 1 && name[1] == ':':
		return fmt.Errorf("file name in %s cannot be absolute, but found %q", u.archive, inShort(name))
	}
	return nil
}

func inShort(name string) string {
	if len(name) > limits.PluginNameShown {
		return name[:limits.PluginNameShown] + "…"
	}
	return name
}

// skip remembers what is left out.
func (u *unpacker) skip(name string) {
	if len(u.skipped) < limits.PluginSkipped {
		u.skipped = append(u.skipped, printable(inShort(name)))
	}
}

// write writes one file. A later one of the same name replaces an earlier one,
// as tar has it, unless it could be the plugin's executable.
func (u *unpacker) write(name string, r io.Reader, size int64, mode fs.FileMode) error {
	if !fileName(name) {
		return fmt.Errorf("%q cannot be the name of a plugin's file", inShort(name))
	}
	what := "total file"
	if u.archive == "" {
		what = "file"
	}
	if u.total += size; size < 0 || u.total >= limits.PluginBinary {
		return overLimit(what)
	}
	if _, again := u.files[name]; again {
		if _, ok := pluginName(name); ok {
			return errSeveral
		}
		if err := u.root.Remove(name); err != nil {
			return err
		}
	}
	if u.archive != "" {
		u.trace("Extracting file %s...", name)
	}
	mode = mode.Perm()&0o755 | 0o400
	if err := u.copy(name, r, size, mode); err != nil {
		return err
	}
	u.files[name] = mode
	return nil
}

func (u *unpacker) copy(name string, r io.Reader, size int64, mode fs.FileMode) error {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(u.stoppable(r), size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes or more, where %s says %d", name, n, u.archive, size)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	return errors.Join(err, f.Close())
}

// sync makes what was written last.
func (u *unpacker) sync() error {
	for name := range u.files {
		f, err := u.root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// fileName reports whether a file may be called so: one element of a path, in
// printable characters.
func fileName(name string) bool {
	return validName(name) && utf8.ValidString(name) && len(name) <= 255 &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// stoppable is r until the context ends.
func (u *unpacker) stoppable(r io.Reader) io.Reader { return &stoppable{u.ctx, r} }

type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
