package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// pipelineFlags are those of verify that judge by a pipeline policy.
type pipelineFlags struct {
	policy string
	whereFlags
	pins bool
}

// add declares them under the name shuin: notation knows no pipeline policy.
func (p *pipelineFlags) add(a *app, fs *pflag.FlagSet) {
	if a.asNotation() {
		return
	}
	policyFlag(fs, &p.policy)
	fs.Lookup("policy").Usage += " (default: the trust policy that was imported)"
	p.whereFlags.add(fs, "namespace; without it rules that name namespaces do not apply")
	fs.BoolVar(&p.pins, "pins", false, "what is deployed is the pinned reference that is printed: an image named by a tag alone may then be admitted where the rule says \"tags: pin\"")
}

// check refuses flags that do not go together.
func (p *pipelineFlags) check(fs *pflag.FlagSet, args []string) error {
	if f := fs.Lookup("policy"); f == nil || !f.Changed {
		for _, name := range []string{"cluster", "namespace", "pins"} {
			if f := fs.Lookup(name); f != nil && f.Changed {
				return invalidf("flag --%s is for pipeline policies: give one with --policy FILE", name)
			}
		}
		return nil
	}
	if err := refuseEmpty(fs); err != nil {
		return err
	}
	for _, f := range [][2]string{
		{"oci-layout", "a pipeline policy is about images in registries"}, {"scope", "the image's own repository chooses the rule"},
		{"user-metadata", "the policy's stages say which metadata must be signed"}, {"plugin-config", "a pipeline policy has no plugin configuration"},
	} {
		if fs.Changed(f[0]) {
			return invalidf("flags --policy and --%s do not go together: %s", f[0], f[1])
		}
	}
	if len(args) > 1 {
		return invalidf("unexpected argument %q: one image is verified at a time, \"shuin check\" takes many", args[1])
	}
	return p.whereFlags.check()
}

// verifyByPolicy judges one image as the gate would.
func (a *app) verifyByPolicy(ctx context.Context, o *verifyOptions) error {
	a.startDebug(o.debug)
	pinned := a.onlyPinned(&o.pin)
	if err := errors.Join(a.checkDirs(), checkMaxSignatures(o.maxSignatures)); err != nil {
		return err
	}
	p, err := loadPipelinePolicy(ctx, o.pipeline.policy)
	if err != nil {
		return err
	}
	ref, err := o.pin.reference(ctx, o.reference, false)
	if err != nil {
		return err
	}
	written := o.reference
	if o.pin.metadataFile != "" {
		written = ref.String()
	}
	flags := gateFlags{policy: o.pipeline.policy, maxSignatures: o.maxSignatures, revocation: o.revocation, installed: o.installed}
	client := a.clientFor(ref, &o.registryFlags, false)
	client.Blobs = a.blobs()
	g, err := a.newGate(ctx, p, &flags, registrySources{client}, false)
	if err != nil {
		return err
	}
	w := gate.Workload{Images: []gate.Image{{Written: written}}, Where: o.pipeline.where(), Pins: o.pipeline.pins}
	a.warnPlaces(p, []gate.Workload{w}, a.now())
	verdict := g.Decide(ctx, w)
	if o.output.value == "json" {
		err = writeJSON(a.stdout, verdict)
	} else {
		err = a.printVerdict(&verdict.Images[0])
	}
	if err != nil {
		return err
	}
	image := &verdict.Images[0]
	if err := a.verdictFailed(image); err != nil || pinned == nil {
		return err
	}
	if image.Pinned == "" {
		return fmt.Errorf("%s may run, and its digest is not known: there is no pinned reference to print", visible(written))
	}
	return pinned.print(image.Pinned, "admitted")
}

// printVerdict writes the answer about one image for a person: the image as it
// may be deployed, and its stages. Why signatures did not count goes to stderr.
func (a *app) printVerdict(v *gate.ImageVerdict) error {
	image := v.Pinned
	if image == "" {
		image = v.Image.Written
	}
	word := resultWord(v)
	if _, err := fmt.Fprintln(a.stdout, strings.ToUpper(word[:1])+word[1:]+":", visible(image)); err != nil {
		return err
	}
	if v.Rule != "" {
		fmt.Fprintf(a.stdout, "Rule: %s\n", visible(v.Rule))
	}
	if err := a.printStages(v); err != nil {
		return err
	}
	if v.Outcome != pipeline.Admit {
		a.printReasons(&shuin.Report{Signatures: v.Signatures})
	}
	if line := a.imageLine(v); line != "" && v.Allowed {
		a.warnf("%s", line)
	}
	return nil
}

// printStages is a table of the stages that the image has or has to have.
func (a *app) printStages(v *gate.ImageVerdict) error {
	var rows [][]string
	for _, s := range v.Stages {
		if !s.Required && s.Outcome != shuin.Passed {
			continue
		}
		reason, sealed := "", ""
		if s.Err != nil {
			reason = string(shuin.CodeOf(s.Err))
		}
		if !s.SealedAt.IsZero() {
			sealed = s.SealedAt.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{s.Stage, strings.TrimSpace(stageMark(v, s.Stage) + " " + reason), orDash(s.Identity), orDash(sealed), orDash(s.Seal.String())})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return a.rows([]string{"STAGE", "SEALED", "BY", "ON", "SIGNATURE"}, rows)
}

// verdictFailed is nil where the image may run.
func (a *app) verdictFailed(v *gate.ImageVerdict) error {
	if v.Allowed {
		return nil
	}
	return &verdictError{err: &shuin.Error{Code: shuin.CodeOf(v.Err), Message: a.imageLine(v)}, undecided: v.Outcome == pipeline.Undecided}
}
