package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func newBlobCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blob",
		Short: "Sign, verify and inspect blobs: files outside a registry",
		Long: `Sign and verify blobs, which are files of any kind, with a signature in a file beside them; inspect such signatures;
manage the trust policy by which blobs are verified.`,
	}
	cmd.AddCommand(newBlobSignCmd(a), newBlobVerifyCmd(a), newBlobInspectCmd(a), newBlobPolicyCmd(a))
	return cmd
}

// signatureExt is what the name of every signature file ends with.
const signatureExt = ".sig"

// signatureFile is where the signature of a blob is written: the blob's name,
// the envelope's format and ".sig" (signature-specification.md, "Blob
// Signatures"; BLOB-01).
func signatureFile(dir, blobPath, format string) string {
	return filepath.Join(dir, filepath.Base(blobPath)+"."+format+signatureExt)
}

// signatureFileType is the media type of the envelope in a signature file, by
// the file's name, whatever its case.
func signatureFileType(path string) (string, error) {
	name := filepath.Base(path)
	if !strings.EqualFold(filepath.Ext(name), signatureExt) {
		return "", invalidf("invalid signature filename %s. The file extension must be %s", name, signatureExt)
	}
	parts := strings.Split(name, ".")
	if len(parts) < 3 {
		return "", invalidf("invalid signature filename %s. A valid signature file name must contain signature format and %s file extension", name, signatureExt)
	}
	return envelopeMediaType(strings.ToLower(parts[len(parts)-2]))
}

// missingArgument is notation's text for a command without its argument.
func missingArgument(cmd *cobra.Command, what string) error {
	return invalid(fmt.Sprintf("missing %s: use `%s --help` to see what parameters are required", what, cmd.CommandPath()))
}
