package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/verify"
)

// target is where an artifact and its signatures are: a repository of a
// registry, or an OCI image layout.
type target interface {
	Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error)
	Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error)
	List(ctx context.Context, a shuin.Artifact, max int) (found []shuin.Descriptor, more bool, err error)
	PushSignature(ctx context.Context, a shuin.Artifact, mediaType string, envelope []byte, annotations map[string]string) (shuin.Descriptor, error)
	SignatureOf(ctx context.Context, a shuin.Artifact) (subject shuin.Descriptor, ok bool, err error)
}

// parseReference reads the argument of sign, verify, list and inspect. It has
// to name a tag or a digest.
func parseReference(s string, layout bool) (shuin.Reference, error) {
	if layout {
		return parseLayoutReference(s)
	}
	const expecting = "Expecting <registry>/<repository>:<tag> or <registry>/<repository>@<digest>"
	ref, err := shuin.ParseReference(s)
	if err != nil {
		return ref, invalidf("%q: %v. %s", s, err, expecting)
	}
	if ref.Tag == "" && ref.Digest == "" {
		return ref, invalidf("%q: invalid reference: no tag or digest. %s", s, expecting)
	}
	return ref, nil
}

// parseLayoutReference says what is wrong with a reference in notation's words.
func parseLayoutReference(s string) (shuin.Reference, error) {
	const expecting = "Expecting <file_path>:<tag> or <file_path>@<digest>"
	ref, err := shuin.ParseLayoutReference(s)
	if err != nil {
		dir, of, ok := cutLayout(s)
		switch {
		case !ok || dir != "" && of == "":
			return ref, invalidf("%q: invalid reference: missing tag or digest. %s", s, expecting)
		case dir == "":
			return ref, invalidf("%q: invalid reference: missing oci-layout file path. %s", s, expecting)
		}
		return ref, invalidf("%q: %v. %s", s, err, expecting)
	}
	info, err := os.Stat(ref.Layout)
	if err != nil {
		return ref, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "failed to create OCI store", Err: err}
	}
	if !info.IsDir() {
		return ref, invalid("failed to create OCI store: the input path is not a directory")
	}
	return ref, nil
}

// cutLayout cuts a reference at what looks like the beginning of its digest or
// tag, whatever stands there.
func cutLayout(s string) (dir, of string, ok bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		i = strings.LastIndexByte(s, ':')
	}
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// warnTag warns where a reference names a tag and no digest: what it resolved
// to is what was done, and the tag may move.
func (a *app) warnTag(verb string, ref shuin.Reference) bool {
	if ref.Digest != "" {
		return false
	}
	why := "resolved digest may not point to the same signed artifact, as tags are mutable."
	if verb == "sign" {
		why = "tags are mutable and a tag reference can point to a different artifact than the one signed."
	}
	a.warnf("Always %s the artifact using digest(@sha256:...) rather than a tag(:%s) because %s", verb, ref.Tag, why)
	return true
}

// logResolved tells -d what a reference became.
func (a *app) logResolved(artifact shuin.Artifact) {
	a.debug().Info(fmt.Sprintf("Reference %s resolved to manifest descriptor: %+v", artifact.Written(), artifact.Descriptor()))
}

// resolveError says what was being done when an artifact could not be found.
func resolveError(err error) error { return fmt.Errorf("failed to get manifest descriptor: %w", err) }
