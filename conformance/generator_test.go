package conformance

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The committed vectors are what the generator makes, byte for byte.
func TestVectorsAreWhatTheGeneratorMakes(t *testing.T) {
	made := t.TempDir()
	if out, err := exec.Command("go", "run", "./vectors/gen", "-out", made).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := 0
	err := filepath.WalkDir(made, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(made, path)
		if err != nil {
			return err
		}
		if filepath.Dir(rel) != "." {
			n++
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(vectorDir, rel)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes: run go generate (%v)", rel, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if all := loadVectors(t); len(all) != n {
		t.Errorf("%d vectors committed, %d made", len(all), n)
	}
}
