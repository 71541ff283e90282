package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/manifest"
)

// envNoTags set to 1 is --no-tags for every command that has it.
const envNoTags = "SHUIN_NO_TAGS"

// pinFlags say how an image that a person or a script names becomes a digest.
// They are under the name shuin only: notation has none of them.
type pinFlags struct {
	metadataFile string
	noTags       bool
	printDigest  bool
	refusedBy    string // what refuses tags; empty: they are taken
}

// add declares them; prints: also --print-digest.
func (p *pinFlags) add(a *app, cmd *cobra.Command, prints bool) {
	if a.asNotation() {
		return
	}
	fs := cmd.Flags()
	fs.StringVar(&p.metadataFile, "metadata-file", "", "take the digest from the file that a build tool wrote: docker buildx --metadata-file, buildah push --digestfile, ko --image-refs")
	fs.BoolVar(&p.noTags, "no-tags", false, "refuse a reference that has no digest; for CI (default: $"+envNoTags+")")
	if prints {
		fs.BoolVar(&p.printDigest, "print-digest", false, "print the pinned reference <registry>/<repository>@<digest>, and nothing else, on stdout; the rest on stderr")
	}
}

// check refuses flags that are empty or do not go together, and reads the
// environment.
func (p *pinFlags) check(a *app, fs *pflag.FlagSet) error {
	if fs.Lookup("no-tags") == nil { // notation
		return nil
	}
	if fs.Changed("metadata-file") && p.metadataFile == "" {
		return invalid("flag --metadata-file cannot be empty")
	}
	if layout := fs.Lookup("oci-layout"); p.metadataFile != "" && layout != nil && layout.Changed {
		return invalid("flags --metadata-file and --oci-layout do not go together: build tools write what they pushed to a registry")
	}
	if output := fs.Lookup("output"); p.printDigest && output != nil && output.Value.String() == "json" {
		return invalid("flags --print-digest and --output json do not go together: the JSON holds the pinned reference")
	}
	if p.noTags {
		p.refusedBy = "--no-tags"
	}
	switch v := a.getenv(envNoTags); {
	case fs.Changed("no-tags") || v == "" || v == "0":
	case v == "1":
		p.refusedBy = envNoTags + "=1"
	default:
		return invalidf("environment variable %s is %q: it is 1 to refuse tags, or 0", envNoTags, v)
	}
	return nil
}

// reference reads what was written, with the digest of the metadata file if
// there is one. Nothing is asked of a registry.
func (p *pinFlags) reference(ctx context.Context, written string, layout bool) (shuin.Reference, error) {
	var ref shuin.Reference
	var err error
	if p.metadataFile != "" {
		ref, err = p.fromFile(ctx, written)
	} else {
		ref, err = parseReference(written, layout)
	}
	if err == nil && p.refusedBy != "" && ref.Digest == "" {
		err = &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%q: a tag alone is refused (%s)", written, p.refusedBy),
			Hint: fmt.Sprintf("write %s@sha256:..., or have --metadata-file read the digest that the build tool wrote", ref.Name())}
	}
	return ref, err
}

// fromFile is the reference with the digest of the metadata file. What it was
// written with has to agree.
func (p *pinFlags) fromFile(ctx context.Context, written string) (shuin.Reference, error) {
	ref, err := shuin.ParseReference(written)
	if err != nil {
		return ref, invalidf("%q: %v. Expecting <registry>/<repository>, whose digest is in the metadata file", written, err)
	}
	data, err := readFile(ctx, p.metadataFile, limits.BuiltFileBytes, "BuiltFileBytes")
	if err != nil {
		return ref, &shuin.Error{Code: codeOrInvalid(err), Message: "read metadata file", Err: err}
	}
	images, err := manifest.ReadBuilt(data)
	if err != nil {
		return ref, &shuin.Error{Code: codeOrInvalid(err), Message: "metadata file " + p.metadataFile, Err: err,
			Hint: "it is the file of docker buildx --metadata-file, buildah push --digestfile, or ko --image-refs"}
	}
	found := manifest.DigestsIn(images, ref)
	if ref.Digest == "" && len(found) == 1 {
		ref.Digest = found[0]
		return ref, nil
	}
	return ref, p.agree(ref, found, images)
}

// agree says what is wrong where the file does not name one digest for ref; nil
// where it names the one that was written.
func (p *pinFlags) agree(ref shuin.Reference, found []digest.Digest, images []manifest.Built) error {
	const most = 5
	switch {
	case len(found) == 0:
		names := manifest.Repositories(images)
		if len(names) > most {
			names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
		}
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("metadata file %s is about %s, not %s", p.metadataFile, strings.Join(names, ", "), ref.Name()),
			Hint: "name the repository that was pushed to, or the file of this image's build"}
	case ref.Digest == "":
		shown := make([]string, 0, most+1)
		for i, d := range found {
			if i == most {
				shown = append(shown, fmt.Sprintf("and %d more", len(found)-most))
				break
			}
			shown = append(shown, d.String())
		}
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("metadata file %s names %d images that may be in %s: %s", p.metadataFile, len(found), ref.Name(), strings.Join(shown, ", ")),
			Hint: fmt.Sprintf("say which is meant: %s@sha256:...", ref.Name())}
	}
	for _, d := range found {
		if d == ref.Digest {
			return nil
		}
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("metadata file %s names %s for %s, not %s", p.metadataFile, found[0], ref.Name(), ref.Digest),
		Hint: "leave the digest out to take the file's, or name the file of this image's build"}
}

// unresolved is resolveError, with what a metadata file may have to do with it.
func (p *pinFlags) unresolved(err error) error {
	err = resolveError(err)
	if p.metadataFile == "" || shuin.CodeOf(err) != shuin.CodeNotFound {
		return err
	}
	return &shuin.Error{Code: shuin.CodeNotFound, Err: err, Hint: fmt.Sprintf(
		"was the image pushed? %s has to hold the digest that the push made: an image's ID (--iidfile), or the digest of a local image, is another", p.metadataFile)}
}

// pinnedOut is stdout where it takes the pinned reference alone.
type pinnedOut struct{ w io.Writer }

// onlyPinned keeps stdout for the pinned reference: all else goes to stderr from
// here on. nil, with which nothing is printed, without --print-digest. It is to
// be called after startDebug.
func (a *app) onlyPinned(p *pinFlags) *pinnedOut {
	if !p.printDigest {
		return nil
	}
	out := &pinnedOut{a.stdout}
	a.stdout = a.stderr
	return out
}

// print writes the reference; done says what was done, should that fail.
func (o *pinnedOut) print(pinned, done string) error {
	if o == nil {
		return nil
	}
	defer brokenPipes()()
	if _, err := fmt.Fprintln(o.w, pinned); err != nil {
		return fmt.Errorf("%s is %s, and its reference could not be printed: %w", pinned, done, err)
	}
	return nil
}
