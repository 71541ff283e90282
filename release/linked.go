package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// licenceFile is how licences and notices are called.
var licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|notice|patents)([-._].*)?$`)

// licences are the texts of all modules that are linked into a binary, and of Go.
func (r *release) licences(binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	root, err := r.goSays("env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := addLicences(&b, "Go "+strings.TrimPrefix(info.GoVersion, "go"), root); err != nil {
		return nil, err
	}
	for _, m := range info.Deps {
		m = used(m)
		at := m.Path + "@" + m.Version
		dir := r.sources[at]
		if dir == "" {
			if dir, err = r.goSays("list", "-m", "-f", "{{.Dir}}", at); err != nil {
				return nil, err
			}
			r.sources[at] = dir
		}
		if err := addLicences(&b, m.Path+" "+m.Version, dir); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// used is the module that is linked for m.
func used(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

func (r *release) goSays(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = r.source, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// addLicences appends what lies in dir; that nothing does is an error: what
// nobody licensed is not shipped.
func addLicences(b *bytes.Buffer, what, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("the sources of %s: %w", what, err)
	}
	found := false
	for _, f := range files {
		if f.IsDir() || !licenceFile.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(b, "%s\n%s: %s\n\n%s\n", strings.Repeat("=", 78), what, f.Name(), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("%s has no licence in %s", what, dir)
	}
	return nil
}

// sbom writes PROGRAM_VERSION_OS_ARCH.cdx.json: CycloneDX 1.6, of the modules
// that Go wrote into the binary.
func (r *release) sbom(program string, t target) error {
	info, err := buildinfo.ReadFile(r.binary(program, t))
	if err != nil {
		return err
	}
	return r.writeSBOM(fmt.Sprintf("%s_%s_%s.cdx.json", program, r.version, t), program, info)
}

// lambdaSBOM is that of the function in a zip.
func (r *release) lambdaSBOM(data []byte, arch string) error {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	f, err := z.Open("bootstrap")
	if err != nil {
		return err
	}
	defer f.Close()
	binary, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return err
	}
	if v := strings.TrimPrefix(info.Main.Version, "v"); v != r.version {
		return fmt.Errorf("the function for %s is of version %s, and the rest of %s", arch, v, r.version)
	}
	return r.writeSBOM("shuin-lambda-"+arch+".cdx.json", "shuin-lambda", info)
}

func (r *release) writeSBOM(name, program string, info *buildinfo.BuildInfo) error {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: r.when.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{
			BOMRef: "main", Type: cdx.ComponentTypeApplication, Name: program, Version: "v" + r.version,
			PackageURL: "pkg:golang/" + info.Main.Path + "@v" + r.version + "#cmd/" + program,
			Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		},
	}
	components := []cdx.Component{{
		BOMRef: "go", Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion, PackageURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
	}}
	for _, m := range info.Deps {
		m = used(m)
		url := "pkg:golang/" + m.Path + "@" + m.Version
		c := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: url}
		if m.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "go:h1", Value: m.Sum}}
		}
		components = append(components, c)
	}
	if len(components) == 1 {
		return errors.New("the binary names no modules")
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	bom.Components = &components
	return r.write(name, func(w io.Writer) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	})
}
