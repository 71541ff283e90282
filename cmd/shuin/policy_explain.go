package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

type policyExplainOptions struct {
	registryFlags
	gateFlags
	whereFlags
	pins, offline bool
	reference     string
	output        outputFlag
}

func newPolicyExplainCmd(a *app) *cobra.Command {
	var o policyExplainOptions
	cmd := &cobra.Command{
		Use:   "explain [flags] --policy <policy_file> <image>",
		Short: "Say which rule of a pipeline policy decides about an image, why, and what it wants",
		Long: a.help(`Say which rule of a pipeline policy decides about an image, why that one, which exceptions there are for it, and whose
signature each stage wants; then, unless --offline is given, what the answer is now. Exit status 0, whatever the answer:
"{} verify --policy" is for scripts.

Example - Which rule applies in a cluster, and what would it say:
  {} policy explain --policy pipeline.yaml --cluster prod-1 --namespace shop <registry>/<repository>@<digest>

Example - Without a registry (then a tag's digest is not known, nor what was signed):
  {} policy explain --policy pipeline.yaml --offline <registry>/<repository>
`),
		Args: oneArg("one image", &o.reference),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policyExplain(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.gateFlags.addJudging(a, fs)
	o.registryFlags.add(a, fs)
	o.whereFlags.add(fs, "namespace; without it rules that name namespaces do not apply")
	fs.BoolVar(&o.pins, "pins", false, "who asks deploys the pinned reference")
	fs.BoolVar(&o.offline, "offline", false, "ask no registry: explain the policy only")
	o.output.add(fs, "text", "json")
	return cmd
}

// explained is the form of --output json: as POST /v1/explain answers.
type explained struct {
	MediaType string                  `json:"mediaType"`
	Verdict   *gate.Verdict           `json:"verdict,omitempty"`
	Images    []*pipeline.Explanation `json:"images"`
}

func (a *app) policyExplain(ctx context.Context, o *policyExplainOptions) error {
	a.startDebug(o.debug)
	if err := firstError(o.output.check(), checkMaxSignatures(o.maxSignatures), o.whereFlags.check()); err != nil {
		return err
	}
	p, err := loadPipelinePolicy(ctx, o.policy)
	if err != nil {
		return err
	}
	ref, err := shuin.ParseReference(o.reference)
	if !o.offline && err == nil {
		ref, err = parseReference(o.reference, false)
	} else if err != nil {
		err = invalid(err.Error())
	}
	if err != nil {
		return err
	}
	out := explained{MediaType: gate.MediaTypeExplanation}
	question := pipeline.Question{Repository: ref.Name(), Digest: ref.Digest, Where: o.where(), Now: a.now()}
	if !o.offline {
		if out.Verdict, err = a.decideOne(ctx, p, ref, o); err != nil {
			return err
		}
		question.Digest, question.Now = out.Verdict.Images[0].Digest(), out.Verdict.Time
	}
	explanation := p.Explain(question)
	if o.output.value == "json" {
		out.Images = []*pipeline.Explanation{explanation}
		return writeJSON(a.stdout, out)
	}
	if err := a.printExplanation(explanation); err != nil || o.offline {
		return err
	}
	v := &out.Verdict.Images[0]
	fmt.Fprintln(a.stdout)
	if err := a.printVerdict(v); err != nil || v.Err == nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "\n%s\n", a.imageLine(v))
	return err
}

// decideOne asks the gate about one image.
func (a *app) decideOne(ctx context.Context, p *pipeline.Policy, ref shuin.Reference, o *policyExplainOptions) (*gate.Verdict, error) {
	if err := a.checkDirs(); err != nil {
		return nil, err
	}
	client := a.clientFor(ref, &o.registryFlags, false)
	client.Blobs = a.blobs()
	g, err := a.newGate(ctx, p, &o.gateFlags, registrySources{client}, false)
	if err != nil {
		return nil, err
	}
	return g.Decide(ctx, gate.Workload{Images: []gate.Image{{Written: o.reference}}, Where: o.where(), Pins: o.pins}), nil
}
