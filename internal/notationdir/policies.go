package notationdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
)

// PolicyKind is what a trust policy file is about.
type PolicyKind uint8

// The kinds; zero is invalid.
const (
	OCIPolicy  PolicyKind = iota + 1 // trustpolicy.oci.json, else trustpolicy.json
	BlobPolicy                       // trustpolicy.blob.json
)

// ParsePolicy reads a document of kind k with what d.Policies allows.
func (d Dir) ParsePolicy(k PolicyKind, data []byte) (*policy.Document, error) {
	switch k {
	case OCIPolicy:
		return d.Policies.ParseOCI(data)
	case BlobPolicy:
		return d.Policies.ParseBlob(data)
	}
	return nil, fmt.Errorf("trust policy kind %d is not valid", k)
}

// PolicyFile is a trust policy file as it lies on disk.
type PolicyFile struct {
	Path string
	Data []byte
	// Old says that it is the deprecated trustpolicy.json.
	Old bool
}

// PolicyPath is where the policy of kind k is imported to.
func (d Dir) PolicyPath(k PolicyKind) string {
	if k == BlobPolicy {
		return filepath.Join(d.config, blobPolicyFile)
	}
	return filepath.Join(d.config, ociPolicyFile)
}

// RawPolicy is the bytes of the policy file of kind k, valid or not (TP-03).
// The error holds fs.ErrNotExist when there is none.
func (d Dir) RawPolicy(k PolicyKind) (PolicyFile, error) {
	f := PolicyFile{Path: d.PolicyPath(k)}
	var err error
	f.Data, err = readFile(f.Path, limits.PolicyBytes)
	if k == OCIPolicy && errors.Is(err, fs.ErrNotExist) {
		f.Path, f.Old = filepath.Join(d.config, oldPolicyFile), true
		f.Data, err = readFile(f.Path, limits.PolicyBytes)
	}
	if err != nil {
		return PolicyFile{}, invalid(err, "")
	}
	return f, nil
}

// Policy reads the policy of kind k (TP-03). No file at all has the code
// shuin.CodeNoPolicy, and fs.ErrNotExist in the error's tree. A document that
// breaks a rule is an error with a [*policy.ValidationError] in it.
func (d Dir) Policy(k PolicyKind) (*policy.Document, error) {
	f, err := d.RawPolicy(k)
	if err != nil {
		return nil, d.policyError(k, err)
	}
	doc, err := d.ParsePolicy(k, f.Data)
	var syntax *policy.SyntaxError
	if errors.As(err, &syntax) {
		return nil, &shuin.Error{
			Code: shuin.CodeInvalidInput, Err: fmt.Errorf("%s: %w", f.Path, err),
			Message: "malformed trust policy. To create a trust policy, see: " + policy.Help,
		}
	}
	if err != nil {
		return nil, invalid(err, "correct "+f.Path)
	}
	return doc, nil
}

// policyError says why a policy file cannot be read, in notation's words.
func (d Dir) policyError(k PolicyKind, err error) error {
	var irregular errIrregular
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &shuin.Error{Code: shuin.CodeNoPolicy, Err: missingPolicy{}, Hint: "import one to " + d.PolicyPath(k)}
	case errors.As(err, &irregular):
		return invalid(fmt.Errorf("trust policy is not a regular file (symlinks are not supported). To create a trust policy, see: %s", policy.Help),
			"replace "+irregular.path+" by the file itself")
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &path):
		return invalid(fmt.Errorf("unable to read trust policy due to file permissions, please verify the permissions of %s: %w", path.Path, fs.ErrPermission), "")
	}
	return err
}

// missingPolicy is that there is no policy file.
type missingPolicy struct{}

func (missingPolicy) Error() string {
	return "trust policy is not present. To create a trust policy, see: " + policy.Help
}

// Is makes it an fs.ErrNotExist.
func (missingPolicy) Is(target error) bool { return target == fs.ErrNotExist }

// HasPolicy reports whether there is a policy of kind k that an import would
// replace. A file that is no JSON of a policy's form does not count: nothing
// would be lost. One that breaks other rules does, and so does one that cannot
// be read: what would be lost is unknown.
func (d Dir) HasPolicy(k PolicyKind) bool {
	f, err := d.RawPolicy(k)
	if err != nil {
		var irregular errIrregular // a directory or symlink is never replaced
		var unseen errUnseen       // where nothing can be looked up nothing can be written either
		return !errors.As(err, &irregular) && !errors.As(err, &unseen)
	}
	_, err = d.ParsePolicy(k, f.Data)
	var syntax *policy.SyntaxError
	return !errors.As(err, &syntax)
}

// Import is what an import of a trust policy did.
type Import struct {
	Path string // where the policy lies now
	// DeletedOld says that the deprecated trustpolicy.json was there and is gone.
	DeletedOld bool
	// OldErr is why it is still there; the import itself succeeded.
	OldErr error
}

// ImportPolicy checks data and writes it, byte for byte, as the policy of kind
// k. An existing policy is replaced; a deprecated trustpolicy.json is removed
// after that. An invalid document is a [*policy.SyntaxError] or a
// [*policy.ValidationError], and nothing is written.
func (d Dir) ImportPolicy(k PolicyKind, data []byte) (Import, error) {
	if _, err := d.ParsePolicy(k, data); err != nil {
		return Import{}, invalid(err, "")
	}
	done := Import{Path: d.PolicyPath(k)}
	if err := writeFile(done.Path, data, filePerm); err != nil {
		return Import{}, invalid(err, "")
	}
	if k != OCIPolicy {
		return done, nil
	}
	err := os.Remove(filepath.Join(d.config, oldPolicyFile))
	switch {
	case err == nil:
		done.DeletedOld = true
	case !errors.Is(err, fs.ErrNotExist):
		done.OldErr = err
	}
	return done, nil
}
