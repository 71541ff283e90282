//go:build unix

package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// pluginCmds are the script commands for packages of plugins.
func pluginCmds(cmds map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	cmds["describes"] = cmdDescribes
	cmds["pack"] = cmdPack
	cmds["checksum"] = cmdChecksum
	cmds["webserver"] = cmdWebServer
	return cmds
}

// cmdDescribes writes a plugin that says this of itself whatever it is asked,
// and leaves a mark where it ran: describes FILE NAME VERSION.
func cmdDescribes(ts *testscript.TestScript, _ bool, args []string) {
	text := fmt.Sprintf("#!/bin/sh\ncat >/dev/null\n[ -w '%[1]s' ] && echo ran >>'%[1]s'/ran\necho '{\"name\":\"%[2]s\",\"description\":\"does %[2]s\",\"version\":\"%[3]s\",\"url\":\"u\",\"supportedContractVersions\":[\"1.0\"],\"capabilities\":[\"SIGNATURE_GENERATOR.RAW\",\"SIGNATURE_VERIFIER.REVOCATION_CHECK\"]}'\n",
		ts.Getenv("HOME"), args[1], args[2])
	check(ts, os.MkdirAll(path.Dir(ts.MkAbs(args[0])), 0o755))
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o755))
}

// packed is one entry that pack writes.
type packed struct {
	name, link string
	data       []byte
	mode       fs.FileMode
	kind       byte
	size       int64 // that the archive tells; -1: that of data
}

// cmdPack writes an archive, zip or tar.gz by its name: pack OUT ENTRY...
// An entry is NAME=SOURCE[,MODE]; a source is a file, or @link:TARGET,
// @hard:TARGET, @pipe, @device, @size:N (which only says that it has so many).
func cmdPack(ts *testscript.TestScript, _ bool, args []string) {
	out, err := os.Create(ts.MkAbs(args[0]))
	check(ts, err)
	defer out.Close()
	var entries []packed
	for _, arg := range args[1:] {
		entries = append(entries, packedEntry(ts, arg))
	}
	if strings.HasSuffix(args[0], ".zip") {
		packZip(ts, out, entries)
	} else {
		packTar(ts, out, entries)
	}
}

func packedEntry(ts *testscript.TestScript, arg string) packed {
	name, source, _ := strings.Cut(arg, "=")
	source, mode, given := strings.Cut(source, ",")
	e := packed{name: name, mode: 0o755, kind: tar.TypeReg, size: -1}
	if given {
		m, err := strconv.ParseUint(mode, 8, 32)
		check(ts, err)
		e.mode = fs.FileMode(m)
	}
	what, of, special := strings.Cut(source, ":")
	switch what {
	case "@link":
		e.kind, e.link, e.data, e.mode = tar.TypeSymlink, of, []byte(of), fs.ModeSymlink|0o777
	case "@hard":
		e.kind, e.link = tar.TypeLink, of
	case "@pipe":
		e.kind, e.mode = tar.TypeFifo, fs.ModeNamedPipe|0o644
	case "@device":
		e.kind, e.mode = tar.TypeChar, fs.ModeDevice|fs.ModeCharDevice|0o644
	case "@size":
		n, err := strconv.ParseInt(of, 10, 64)
		check(ts, err)
		e.size = n
	default:
		if special {
			ts.Fatalf("no such source: %s", source)
		}
		b, err := os.ReadFile(ts.MkAbs(source))
		check(ts, err)
		e.data = b
	}
	return e
}

func packZip(ts *testscript.TestScript, out io.Writer, entries []packed) {
	w := zip.NewWriter(out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name}
		h.SetMode(e.mode)
		var f io.Writer
		var err error
		if e.size >= 0 {
			h.UncompressedSize64 = uint64(e.size)
			f, err = w.CreateRaw(h)
		} else {
			f, err = w.CreateHeader(h)
		}
		check(ts, err)
		_, err = f.Write(e.data)
		check(ts, err)
	}
	check(ts, w.Close())
}

func packTar(ts *testscript.TestScript, out io.Writer, entries []packed) {
	z := gzip.NewWriter(out)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: int64(e.mode.Perm())}
		switch {
		case e.size >= 0:
			h.Size = e.size
		case e.kind == tar.TypeReg:
			h.Size = int64(len(e.data))
		}
		check(ts, w.WriteHeader(h))
		if e.kind == tar.TypeReg {
			_, err := w.Write(e.data)
			check(ts, err)
		}
		if e.size >= 0 {
			check(ts, z.Close()) // what it says is not there
			return
		}
	}
	check(ts, w.Close())
	check(ts, z.Close())
}

// cmdChecksum sets a variable to a file's SHA-256: checksum VAR FILE.
func cmdChecksum(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	check(ts, err)
	sum := sha256.Sum256(b)
	ts.Setenv(args[0], hex.EncodeToString(sum[:]))
}

// cmdWebServer serves the script's directory over TLS: $WEB is its address, and
// $SSL_CERT_FILE its certificate. Below /to-http/ it redirects to plain HTTP,
// below /moved/ to where a file is; /hangs it never answers.
func cmdWebServer(ts *testscript.TestScript, _ bool, _ []string) {
	plain := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs("."))))
	ts.Defer(plain.Close)
	files := http.FileServer(http.Dir(ts.MkAbs(".")))
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/to-http/"):
			http.Redirect(w, r, plain.URL+strings.TrimPrefix(r.URL.Path, "/to-http"), http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/moved/"):
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/moved")+"?signature=secret", http.StatusFound)
		case r.URL.Path == "/large":
			w.Header().Set("Content-Length", strconv.Itoa(256<<20))
		case r.URL.Path == "/hangs":
			<-r.Context().Done()
		default:
			files.ServeHTTP(w, r)
		}
	}))
	web.StartTLS()
	ts.Defer(web.Close)
	ts.Setenv("WEB", web.URL)
	file := ts.MkAbs("web.crt")
	check(ts, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o644))
	ts.Setenv("SSL_CERT_FILE", file)
}
