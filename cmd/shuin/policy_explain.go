package main

import (
	"context"
	"fmt"
	"strings"
	"time"

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
	out := explained{MediaType: "application/vnd.shuin.explanation.v1+json"}
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

// printExplanation writes an explanation for a person.
func (a *app) printExplanation(e *pipeline.Explanation) error {
	image := e.Repository
	if e.Digest != "" {
		image += "@" + e.Digest.String()
	}
	rule := e.Rule
	switch {
	case rule == "":
		rule = "none matches: the default is " + e.Default
	case e.Pattern != "":
		rule += ", by " + e.Pattern
	}
	settings := ""
	if e.Mode != "" {
		settings = fmt.Sprintf("mode %s, tags %s, platforms %s, undecided %s", e.Mode, e.Tags, e.Platforms, e.Undecided)
	}
	if err := a.details([2]string{"Image", image}, [2]string{"Cluster", e.Where.Cluster}, [2]string{"Namespace", e.Where.Namespace},
		[2]string{"Rule", rule}, [2]string{"Wants", e.Wants}, [2]string{"Settings", settings}); err != nil {
		return err
	}
	var rules [][]string
	for _, r := range e.Rules {
		name := r.Name
		if r.Wins {
			name = "* " + name
		}
		rules = append(rules, []string{name, lineText(r.Line), orDash(r.Pattern), r.Why})
	}
	return firstError(a.section([]string{"RULE", "LINE", "PATTERN", "WHY"}, rules),
		a.section([]string{"EXCEPTION", "LINE", "OWNER", "EXPIRES", "WHY"}, exceptionRows(e)),
		a.section([]string{"STAGE", "LINE", "REQUIRED", "SIGNERS", "WANTS"}, stageRows(e)))
}

func exceptionRows(e *pipeline.Explanation) [][]string {
	var rows [][]string
	for _, x := range e.Exceptions {
		rows = append(rows, []string{x.Reason, lineText(x.Line), x.Owner, x.Expires.UTC().Format(time.RFC3339), x.Why})
	}
	return rows
}

func stageRows(e *pipeline.Explanation) [][]string {
	var rows [][]string
	for _, s := range e.Stages {
		required := "-"
		if s.Required {
			required = "yes"
		}
		var wants []string
		if s.MaxAge != "" {
			wants = append(wants, "at most "+s.MaxAge+" old")
		}
		if len(s.Metadata) > 0 {
			wants = append(wants, pairsText(s.Metadata))
		}
		rows = append(rows, []string{s.Name, lineText(s.Line), required, strings.Join(s.Signers, "; or "), orDash(strings.Join(wants, ", "))})
	}
	return rows
}

// section is a table after an empty line; nothing where it has no rows.
func (a *app) section(head []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return a.rows(head, rows)
}

func lineText(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
