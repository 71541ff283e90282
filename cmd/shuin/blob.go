package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
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

// signatureType is the media type of the envelope in a signature file. Notation
// knows it by the file's name alone. Shuin takes the shorter names of the
// envelopes' specifications too, and where a name says nothing it tries each
// (BLOB-01, VER-01).
func (a *app) signatureType(path string, data []byte) (string, error) {
	mediaType, err := signatureFileType(path)
	if err == nil || a.asNotation() {
		return mediaType, err
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jws":
		return shuin.MediaTypeJWS, nil
	case ".cose":
		return shuin.MediaTypeCOSE, nil
	}
	for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
		if _, err := envelope.Parse(mediaType, data); err == nil {
			return mediaType, nil
		}
	}
	return "", err
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
