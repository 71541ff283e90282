package notationdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/policy"
)

const (
	ociDoc  = `{"version":"1.0","trustPolicies":[{"name":"oci","registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:acme"],"trustedIdentities":["*"]}]}`
	blobDoc = `{"version":"1.0","trustPolicies":[{"name":"blob","signatureVerification":{"level":"strict"},"trustStores":["ca:acme"],"trustedIdentities":["*"]}]}`
)

func oldPolicy(d Dir) string { return filepath.Join(d.Root(), "trustpolicy.json") }

func TestPolicyFiles(t *testing.T) {
	renamed := strings.Replace(ociDoc, `"oci"`, `"old"`, 1)
	tests := []struct {
		name  string
		kind  PolicyKind
		setup func(t *testing.T, d Dir)
		want  string // the statement's name
		err   string
	}{
		{"TP-03 trustpolicy.oci.json", OCIPolicy, func(t *testing.T, d Dir) { put(t, d.PolicyPath(OCIPolicy), []byte(ociDoc)) }, "oci", ""},
		{"TP-03 trustpolicy.json when there is no other", OCIPolicy, func(t *testing.T, d Dir) { put(t, oldPolicy(d), []byte(renamed)) }, "old", ""},
		{"TP-03 trustpolicy.oci.json before trustpolicy.json", OCIPolicy, func(t *testing.T, d Dir) {
			put(t, oldPolicy(d), []byte(renamed))
			put(t, d.PolicyPath(OCIPolicy), []byte(ociDoc))
		}, "oci", ""},
		{"TP-03 an unusable trustpolicy.oci.json is not passed over", OCIPolicy, func(t *testing.T, d Dir) {
			put(t, oldPolicy(d), []byte(renamed))
			put(t, d.PolicyPath(OCIPolicy), []byte("{"))
		}, "", "malformed trust policy"},
		{"TP-03 trustpolicy.blob.json", BlobPolicy, func(t *testing.T, d Dir) { put(t, d.PolicyPath(BlobPolicy), []byte(blobDoc)) }, "blob", ""},
		{"TP-03 blobs do not use the OCI policy", BlobPolicy, func(t *testing.T, d Dir) { put(t, d.PolicyPath(OCIPolicy), []byte(ociDoc)) }, "", "trust policy is not present"},
		{"none", OCIPolicy, func(*testing.T, Dir) {}, "", "trust policy is not present. To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"},
		{"a symlink", OCIPolicy, func(t *testing.T, d Dir) {
			put(t, filepath.Join(d.Root(), "real.json"), []byte(ociDoc))
			symlink(t, filepath.Join(d.Root(), "real.json"), d.PolicyPath(OCIPolicy))
		}, "", "trust policy is not a regular file (symlinks are not supported)"},
		{"a dangling symlink is not absence", OCIPolicy, func(t *testing.T, d Dir) {
			put(t, oldPolicy(d), []byte(renamed))
			symlink(t, filepath.Join(d.Root(), "nowhere"), d.PolicyPath(OCIPolicy))
		}, "", "trust policy is not a regular file"},
		{"a directory", OCIPolicy, func(t *testing.T, d Dir) { mkdir(t, d.PolicyPath(OCIPolicy)) }, "", "trust policy is not a regular file"},
		{"malformed", OCIPolicy, func(t *testing.T, d Dir) { put(t, d.PolicyPath(OCIPolicy), []byte(`{"version"`)) }, "", "trustpolicy.oci.json: "},
		{"invalid", OCIPolicy, func(t *testing.T, d Dir) {
			put(t, d.PolicyPath(OCIPolicy), []byte(strings.Replace(ociDoc, "1.0", "2.0", 1)))
		}, "", `oci trust policy document uses unsupported version "2.0"`},
		{"too large", OCIPolicy, func(t *testing.T, d Dir) { put(t, d.PolicyPath(OCIPolicy), make([]byte, 1<<20+1)) }, "", "is larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			mkdir(t, d.Root())
			tt.setup(t, d)
			doc, err := d.Policy(tt.kind)
			wantError(t, err, tt.err)
			if err == nil && doc.Statements[0].Name != tt.want {
				t.Errorf("statement %q, want %q", doc.Statements[0].Name, tt.want)
			}
		})
	}
}

func TestMissingPolicyIsNoApplicablePolicy(t *testing.T) {
	d, _ := newDir(t)
	_, err := d.Policy(OCIPolicy)
	if shuin.CodeOf(err) != shuin.CodeNoPolicy || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("code %s, error %v", shuin.CodeOf(err), err)
	}
	if _, err := d.RawPolicy(BlobPolicy); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("RawPolicy: %v", err)
	}
}

func TestRawPolicyIsVerbatim(t *testing.T) {
	d, _ := newDir(t)
	text := []byte("{ \"version\": \"9\" ,\r\n\n}")
	put(t, oldPolicy(d), text)
	f, err := d.RawPolicy(OCIPolicy)
	if err != nil || string(f.Data) != string(text) || !f.Old || f.Path != oldPolicy(d) {
		t.Errorf("%+v, %v", f, err)
	}
	put(t, d.PolicyPath(OCIPolicy), text)
	if f, err = d.RawPolicy(OCIPolicy); err != nil || f.Old || f.Path != d.PolicyPath(OCIPolicy) {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestImportPolicy(t *testing.T) {
	d, _ := newDir(t)
	text := ociDoc + "\n\n" // written as it is
	put(t, oldPolicy(d), []byte(ociDoc))
	got, err := d.ImportPolicy(OCIPolicy, []byte(text))
	if err != nil || got.Path != d.PolicyPath(OCIPolicy) || !got.DeletedOld || got.OldErr != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if f, err := d.RawPolicy(OCIPolicy); err != nil || string(f.Data) != text {
		t.Errorf("%q, %v", f.Data, err)
	}
	wantPerm(t, got.Path, 0o600)
	wantOnly(t, d.Root(), "trustpolicy.oci.json")
	if got, err = d.ImportPolicy(OCIPolicy, []byte(ociDoc)); err != nil || got.DeletedOld {
		t.Errorf("second import: %+v, %v", got, err)
	}
	if f, _ := d.RawPolicy(OCIPolicy); string(f.Data) != ociDoc {
		t.Error("not replaced")
	}
	if _, err := d.ImportPolicy(BlobPolicy, []byte(blobDoc)); err != nil {
		t.Error(err)
	}
	wantOnly(t, d.Root(), "trustpolicy.oci.json", "trustpolicy.blob.json")
}

func TestImportMakesThePrivateDirectory(t *testing.T) {
	d, _ := newDir(t)
	if _, err := d.ImportPolicy(OCIPolicy, []byte(ociDoc)); err != nil {
		t.Fatal(err)
	}
	wantPerm(t, d.Root(), 0o700)
}

func TestImportKeepsAnOldPolicyItCannotDelete(t *testing.T) {
	d, _ := newDir(t)
	put(t, filepath.Join(oldPolicy(d), "placeholder"), nil)
	got, err := d.ImportPolicy(OCIPolicy, []byte(ociDoc))
	if err != nil || got.DeletedOld || got.OldErr == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestImportRefuses(t *testing.T) {
	var syntax *policy.SyntaxError
	var invalid *policy.ValidationError
	for _, tt := range []struct {
		name, doc string
		target    any
	}{
		{"broken JSON", "{", &syntax},
		{"a policy of the wrong version", strings.Replace(ociDoc, "1.0", "3", 1), &invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			put(t, d.PolicyPath(OCIPolicy), []byte(ociDoc))
			put(t, oldPolicy(d), []byte(ociDoc))
			_, err := d.ImportPolicy(OCIPolicy, []byte(tt.doc))
			if !errors.As(err, tt.target) || shuin.CodeOf(err) != shuin.CodeInvalidInput {
				t.Errorf("error %T %v", err, err)
			}
			if f, err := d.RawPolicy(OCIPolicy); err != nil || string(f.Data) != ociDoc {
				t.Error("the policy changed")
			}
			wantOnly(t, d.Root(), "trustpolicy.oci.json", "trustpolicy.json")
		})
	}
	t.Run("to put a policy in place of a symlink", func(t *testing.T) {
		d, _ := newDir(t)
		target := filepath.Join(d.Root(), "real.json")
		put(t, target, []byte("x"))
		symlink(t, target, d.PolicyPath(OCIPolicy))
		_, err := d.ImportPolicy(OCIPolicy, []byte(ociDoc))
		wantError(t, err, "is not a regular file (symlinks are not supported)")
		if data, _ := os.ReadFile(target); string(data) != "x" {
			t.Error("written through the symlink")
		}
	})
}

func TestHasPolicyIsWhetherAnImportMustAsk(t *testing.T) {
	t.Run("a configuration directory that cannot be searched", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		put(t, file, nil)
		if d := New(file, file, file); d.HasPolicy(OCIPolicy) {
			t.Error("HasPolicy = true, want the import to say what it cannot write")
		}
	})
	for _, tt := range []struct {
		name string
		path func(d Dir) string
		data string
		want bool
	}{
		{"valid", func(d Dir) string { return d.PolicyPath(OCIPolicy) }, ociDoc, true},
		{"valid, old name", oldPolicy, ociDoc, true},
		{"breaks a rule", oldPolicy, strings.Replace(ociDoc, "1.0", "3", 1), true},
		{"malformed", oldPolicy, "{", false},
		{"another file", func(d Dir) string { return d.PolicyPath(BlobPolicy) }, ociDoc, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			put(t, tt.path(d), []byte(tt.data))
			if got := d.HasPolicy(OCIPolicy); got != tt.want {
				t.Errorf("HasPolicy = %v, want %v", got, tt.want)
			}
		})
	}
}
