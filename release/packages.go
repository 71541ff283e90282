package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// shells are those that shuin writes completions for, and where they lie.
var shells = map[string]string{
	"bash": "/usr/share/bash-completion/completions/shuin",
	"zsh":  "/usr/share/zsh/vendor-completions/_shuin",
	"fish": "/usr/share/fish/vendor_completions.d/shuin.fish",
}

// packages writes, for Debian and RPM and both architectures: shuin; shuind
// with its systemd unit; and shuin-notation, which is shuin under the name
// notation.
func (r *release) packages(ctx context.Context) error {
	if err := r.completions(ctx); err != nil {
		return err
	}
	for _, t := range r.targets {
		if t.os != "linux" {
			continue
		}
		for _, kind := range []string{"deb", "rpm"} {
			list, err := r.infos(t) // anew: a packager changes them
			if err != nil {
				return err
			}
			for _, info := range list {
				if err := r.pack(kind, info); err != nil {
					return fmt.Errorf("%s %s for %s: %w", kind, info.Name, t, err)
				}
			}
		}
	}
	return nil
}

// completions has the program of this machine write them.
func (r *release) completions(ctx context.Context) error {
	shuin := r.binary("shuin", target{runtime.GOOS, runtime.GOARCH})
	for shell := range shells {
		out, err := exec.CommandContext(ctx, shuin, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("completion %s: %w", shell, err)
		}
		if err := os.WriteFile(filepath.Join(r.work, shell), out, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) pack(kind string, info *nfpm.Info) error {
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, kind); err != nil {
		return err
	}
	packager, err := nfpm.Get(kind)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s_%s_linux_%s.%s", info.Name, r.version, info.Arch, kind)
	return r.write(name, func(w io.Writer) error { return packager.Package(info, w) })
}

// infos are the packages of one architecture.
func (r *release) infos(t target) ([]*nfpm.Info, error) {
	licences, err := r.licenceFile(t)
	if err != nil {
		return nil, err
	}
	file := func(from, to string, mode os.FileMode) *files.Content {
		return &files.Content{Source: from, Destination: to, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: r.when, Owner: "root", Group: "root"}}
	}
	own := func(name string) string { return filepath.Join(r.source, "release", "packages", name) }
	info := func(name, description string, contents ...*files.Content) *nfpm.Info {
		docs := "/usr/share/doc/" + name + "/"
		contents = append(contents, file(filepath.Join(r.source, "LICENSE"), docs+"copyright", 0o644))
		return &nfpm.Info{
			Name: name, Arch: t.arch, Platform: "linux", Version: r.version, Section: "utils", Priority: "optional",
			Maintainer: "The Shuin Authors", Description: description, Homepage: "https://github.com/shuin/shuin", License: "Apache-2.0",
			DisableGlobbing: true, MTime: r.when,
			Overridables: nfpm.Overridables{Contents: contents, RPM: nfpm.RPM{BuildHost: "localhost", Group: "Applications/System"}},
		}
	}
	shuin := info("shuin", "Sign and verify container images, and say which pipeline stages they passed",
		file(r.binary("shuin", t), "/usr/bin/shuin", 0o755), file(licences["shuin"], "/usr/share/doc/shuin/THIRD-PARTY-LICENSES", 0o644))
	for shell, to := range shells {
		shuin.Contents = append(shuin.Contents, file(filepath.Join(r.work, shell), to, 0o644))
	}
	shuind := info("shuind", "Signer that speaks the AWS Signer API, and gate that lets sealed images into production",
		file(r.binary("shuind", t), "/usr/bin/shuind", 0o755), file(licences["shuind"], "/usr/share/doc/shuind/THIRD-PARTY-LICENSES", 0o644),
		file(filepath.Join(r.source, "cmd", "shuind", "example.yaml"), "/usr/share/doc/shuind/example.yaml", 0o644),
		file(own("shuind.service"), "/usr/lib/systemd/system/shuind.service", 0o644), file(own("shuind.sysusers"), "/usr/lib/sysusers.d/shuind.conf", 0o644),
		&files.Content{Destination: "/etc/shuind", Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.when, Owner: "root", Group: "root"}})
	shuind.Scripts.PostInstall = own("shuind.postinstall")
	notation := info("shuin-notation", "Shuin under the name notation: the drop-in for the notation command line",
		&files.Content{Source: "shuin", Destination: "/usr/bin/notation", Type: files.TypeSymlink, FileInfo: &files.ContentFileInfo{MTime: r.when, Owner: "root", Group: "root"}})
	notation.Depends, notation.Provides, notation.Conflicts = []string{"shuin"}, []string{"notation"}, []string{"notation"}
	return []*nfpm.Info{shuin, shuind, notation}, nil
}

// licenceFile writes the licences of what is linked, by program.
func (r *release) licenceFile(t target) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range programs {
		text, err := r.licences(r.binary(p, t))
		if err != nil {
			return nil, err
		}
		out[p] = filepath.Join(r.work, p+"-licences")
		if err := os.WriteFile(out[p], text, 0o644); err != nil {
			return nil, err
		}
	}
	return out, nil
}
