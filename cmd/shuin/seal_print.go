package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/seal"
)

// Media types of what "seal --output json" prints: of seals, and with --record.
const (
	mediaTypeSeals    = "application/vnd.shuin.seals.v1+json"
	mediaTypeRecorded = "application/vnd.shuin.recorded.v1+json"
)

type (
	sealsJSON struct {
		MediaType string         `json:"mediaType"`
		Reference string         `json:"reference"`
		Written   string         `json:"written,omitempty"`
		Complete  bool           `json:"complete"` // all that was to be sealed is
		Seals     []sealJSON     `json:"seals"`
		Evidence  []redeemedJSON `json:"evidence,omitempty"`
	}
	sealJSON struct {
		Stage     string            `json:"stage"`
		Reference string            `json:"reference"`
		Platform  string            `json:"platform,omitempty"`
		Signature digest.Digest     `json:"signature"`
		Metadata  map[string]string `json:"userMetadata"`
	}
	redeemedJSON struct {
		File      string       `json:"file"`
		Subject   seal.Subject `json:"subject"`
		Matched   string       `json:"matched"` // "digest" or "config digest"
		Reference string       `json:"reference"`
		Platform  string       `json:"platform,omitempty"`
	}
	recordedJSON struct {
		MediaType string       `json:"mediaType"`
		File      string       `json:"file"`
		Subject   seal.Subject `json:"subject"`
		Stage     string       `json:"stage"`
		Stages    []string     `json:"stages"` // all that the file holds now
	}
)

// printSeals prints what was sealed, also where err says that not all was.
func (a *app) printSeals(o *sealOptions, artifact shuin.Artifact, done []madeSeal, from []redeemed, err error) error {
	if err != nil && len(done) == 0 {
		return err
	}
	defer brokenPipes()()
	var werr error
	if o.output.value == "json" {
		werr = writeJSON(a.stdout, sealsOf(artifact, done, from, err == nil))
	} else {
		_, werr = io.WriteString(a.stdout, sealsText(done, from, err == nil))
	}
	if werr == nil && err == nil {
		werr = o.pinned.print(artifact.String(), "sealed")
	}
	if werr == nil {
		return err
	}
	for _, d := range done {
		fmt.Fprintln(a.stderr, printable(fmt.Sprintf("Sealed stage %s of %s, with the signature %s@%s", d.evidence.Stage, d.artifact, d.artifact.Name(), d.signature)))
	}
	return errors.Join(err, fmt.Errorf("%s stored, and that could not be printed: %w", countAre(len(done), "seal"), werr))
}

// brokenPipes has a write to a closed pipe fail, where it would end shuin
// without a word of what it did. It returns what ends that.
func brokenPipes() func() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}

func countAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

// sealsText is one text, so that it is all printed or known not to be.
func sealsText(done []madeSeal, from []redeemed, complete bool) string {
	var b strings.Builder
	for _, r := range from {
		if complete {
			fmt.Fprintf(&b, "Redeemed %s: %s is the %s of %s\n", r.file, r.named, r.matched, r.artifact)
		}
	}
	for _, d := range done {
		platform := ""
		if d.platform != "" {
			platform = " (" + visible(d.platform) + ")"
		}
		fmt.Fprintf(&b, "Sealed stage %s of %s%s\nPushed the signature to %s@%s\n",
			d.evidence.Stage, d.artifact, platform, d.artifact.Name(), d.signature)
	}
	return b.String()
}

func sealsOf(artifact shuin.Artifact, done []madeSeal, from []redeemed, complete bool) sealsJSON {
	out := sealsJSON{MediaType: mediaTypeSeals, Reference: artifact.String(), Complete: complete, Seals: []sealJSON{}}
	if w := artifact.Written().String(); w != out.Reference {
		out.Written = w
	}
	for _, d := range done {
		out.Seals = append(out.Seals, sealJSON{
			Stage: d.evidence.Stage, Reference: d.artifact.String(), Platform: d.platform, Signature: d.signature, Metadata: d.metadata,
		})
	}
	for _, r := range from {
		out.Evidence = append(out.Evidence, redeemedJSON{
			File: r.file, Subject: r.subject, Matched: r.matched, Reference: r.artifact.String(), Platform: r.platform,
		})
	}
	return out
}
