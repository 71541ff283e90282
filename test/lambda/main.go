// Command lambda packs the function for AWS Lambda: a zip file that holds
// nothing but "bootstrap", the same bytes each time. Its tests hold a Lambda
// Runtime API server, and run the function's binary behind it.
//
//	go run ./test/lambda bin/bootstrap bin/shuin-lambda-arm64.zip
package main

import (
	"archive/zip"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// zipMost is what the function's package may have: it is fetched at each cold
// start.
const zipMost = 15 << 20

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lambda BINARY ZIP")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// pack writes the zip file and says how large it is.
func pack(binary, path string) (err error) {
	in, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	size, err := writeZip(out, in)
	if err != nil {
		return err
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.1f MB, of a binary of %.1f MB\n", path, float64(info.Size())/1e6, float64(size)/1e6)
	if info.Size() > zipMost {
		return fmt.Errorf("%s is larger than %d bytes", path, zipMost)
	}
	return nil
}

// writeZip writes bootstrap with a fixed time and mode.
func writeZip(w io.Writer, bootstrap io.Reader) (int64, error) {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o755)
	f, err := z.CreateHeader(header)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, bootstrap)
	return n, errors.Join(err, z.Close())
}
