package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/seal"
)

type sealOptions struct {
	registryFlags
	signatureFlags
	pin       pinFlags
	debug     bool
	reference string
	command   []string // what follows "--"; nil: none
	stages    []string
	policy    string
	recursive bool
	from      []string
	maxAge    durationFlag
	retryFor  durationFlag
	record    string
	imageID   string
	layout    string
	noCommand bool
	commit    string
	run       string
	output    outputFlag

	files int    // how many of from are arguments
	stops *stops // nil: no command is run

	pinned *pinnedOut // nil: stdout is not for the pinned reference alone
}

func newSealCmd(a *app) *cobra.Command {
	var o sealOptions
	cmd := &cobra.Command{
		Use:   "seal [flags] <reference> [-- <command>...]",
		Short: "Sign an image for a stage of its pipeline, when the stage's work succeeded",
		Long: a.help(`Sign an image for a stage of its pipeline: a signature that names the stage, made only when its work succeeded.

What was run, its duration, the commit and the address of the CI run are signed with it.
The key is the one that "{} sign" would take, or the signing profile that the policy (--policy) names for the stage.

Example - Test a pushed image, and seal it if the tests succeed:
  {} seal --stage unit-test <registry>/<repository>@<digest> -- make test

Example - Test before the push, and seal what was pushed:
  {} seal --record tests.json --image-id "$(docker image inspect --format '{{.Id}}' shop)" --stage unit-test -- make test
  docker push <registry>/<repository>:<tag>
  {} seal <registry>/<repository>:<tag> --from tests.json

Example - Seal an image where the CI step's own condition is the gate, by the digest that was scanned:
  {} seal --stage scan <registry>/<repository>@<digest>

Example - Seal an index and the images of all its platforms:
  {} seal --stage build --recursive <registry>/<repository>@<digest>

Example - Seal what a build tool pushed, and keep its pinned reference:
  IMAGE=$({} seal --stage build --print-digest --metadata-file build.json <registry>/<repository>)
`),
		Args: func(cmd *cobra.Command, args []string) error { return o.parseArgs(cmd, args) },
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.check(); err != nil {
				return err
			}
			if err := o.signatureFlags.check(cmd.Flags()); err != nil {
				return err
			}
			if err := o.pin.check(a, cmd.Flags()); err != nil {
				return err
			}
			return o.checkForm(cmd)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.seal(cmd.Context(), &o) },
	}
	o.addFlags(a, cmd)
	return cmd
}

func (o *sealOptions) addFlags(a *app, cmd *cobra.Command) {
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.registryFlags.add(a, fs)
	o.signatureFlags.add(a, cmd)
	o.pin.add(a, cmd, true)
	policyFlag(fs, &o.policy)
	fs.StringArrayVar(&o.stages, "stage", nil, "the stage to seal; with --from, only these of the recorded ones")
	fs.BoolVar(&o.recursive, "recursive", false, "of an index, seal each platform's image too")
	fs.StringArrayVar(&o.from, "from", nil, "evidence file that was recorded before the push; may be given more than once")
	o.maxAge, o.retryFor = durationFlag(24*time.Hour), durationFlag(limits.SealRetryFor)
	fs.Var(&o.maxAge, "max-evidence-age", "how old evidence may be, since its command ended: 36h, 2d")
	fs.Var(&o.retryFor, "retry-for", "how long to try again to store the seal where the registry is not reached after the command succeeded; 0 for one try")
	fs.StringVar(&o.record, "record", "", "write evidence to this file, and sign nothing yet")
	fs.StringVar(&o.imageID, "image-id", "", "with --record: ID of the local image, sha256:...")
	fs.StringVar(&o.layout, "oci-layout", "", "with --record: OCI image layout directory[:tag] that holds the image")
	fs.BoolVar(&o.noCommand, "no-command", false, "leave the command out of what is signed or recorded: its arguments hold secrets")
	fs.StringVar(&o.commit, "commit", "", "commit of the source (default: what the CI system says)")
	fs.StringVar(&o.run, "run-url", "", "address of the CI run (default: what the CI system says)")
	o.output.add(fs, "text", "json")
	cmd.MarkFlagsMutuallyExclusive("image-id", "oci-layout")
	for _, signs := range []string{"from", "recursive", "key", "certificate-chain", "key-passphrase-env", "key-passphrase-fd", "id", "plugin", "profile", "signature-format", "expiry", "timestamp-url",
		"user-metadata", "plugin-config", "force-referrers-tag", "use-installed-plugin", "retry-for",
		"metadata-file", "no-tags", "print-digest"} {
		cmd.MarkFlagsMutuallyExclusive("record", signs)
	}
	for _, own := range []string{"commit", "run-url", "no-command"} {
		cmd.MarkFlagsMutuallyExclusive("from", own)
	}
}

// parseArgs reads the reference, and what follows "--". With --from, further
// arguments are files, as a shell makes them of a pattern.
func (o *sealOptions) parseArgs(cmd *cobra.Command, args []string) error {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		args, o.command = args[:dash], args[dash:]
		if len(o.command) == 0 || o.command[0] == "" {
			return invalid("there is no command after --: nothing would be run, and the stage sealed all the same")
		}
	}
	if len(args) > 0 {
		o.reference, args = args[0], args[1:]
	}
	if len(o.from) > 0 {
		o.files = len(args)
		o.from, args = append(o.from, args...), nil
		return o.checkOrder()
	}
	if len(args) > 0 {
		return invalidf("unexpected argument %q: a command stands after --", args[0])
	}
	return nil
}

// checkOrder refuses a file in the image's place.
func (o *sealOptions) checkOrder() error {
	info, err := os.Stat(o.reference)
	if o.reference == "" || err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%s was taken for the image, and is a file", o.reference),
		Hint: "the image is the first argument, and the evidence files follow: shuin seal IMAGE --from " + strings.Join([]string{o.from[0], o.reference}, " ")}
}

// checkForm refuses flags that do not go with the form of the command.
func (o *sealOptions) checkForm(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	usage := fmt.Sprintf("use `%s --help` to see what parameters are required", cmd.CommandPath())
	switch {
	case o.record != "" && o.reference != "":
		return invalidf("unexpected argument %q: --record is for an image that is not pushed yet, named by --image-id or --oci-layout", o.reference)
	case o.record != "" && o.imageID == "" && o.layout == "":
		return invalid("--record needs --image-id or --oci-layout: evidence is bound to an image")
	case o.record != "" && o.command == nil:
		return invalid("--record needs a command after --: evidence is that it succeeded")
	case o.record == "" && (o.imageID != "" || o.layout != ""):
		return invalid("--image-id and --oci-layout go with --record")
	case o.record == "" && o.reference == "":
		return invalid("missing reference to the image: " + usage)
	case len(o.from) > 0 && o.command != nil:
		return invalid("--from seals what was run before: there cannot be a command after --")
	case len(o.from) == 0 && given("max-evidence-age"):
		return invalid("--max-evidence-age goes with --from")
	case o.maxAge <= 0:
		return invalidf("max-evidence-age value %s must be positive", &o.maxAge)
	case o.command == nil && given("retry-for"):
		return invalid("--retry-for goes with a command after --")
	case o.retryFor < 0 || o.retryFor > durationFlag(limits.SealRetryMost):
		return invalidf("retry-for value %s must be from 0 to %s", &o.retryFor, limits.SealRetryMost)
	case len(o.from) == 0 && len(o.stages) == 0:
		return invalid("missing --stage: " + usage)
	case len(o.from) == 0 && len(o.stages) > 1:
		return invalid("one stage at a time: give --stage once")
	case o.noCommand && o.command == nil:
		return invalid("--no-command goes with a command after --")
	}
	for _, s := range o.stages {
		if err := seal.CheckStage(s); err != nil {
			return invalid(err.Error())
		}
	}
	return nil
}

// seal is one of the three forms.
func (a *app) seal(ctx context.Context, o *sealOptions) error {
	streams := a.commandStreams()
	if o.pin.printDigest {
		streams.out = streams.err // stdout is the pinned reference's
	}
	a.startDebug(o.debug)
	o.pinned = a.onlyPinned(&o.pin)
	if o.record == "" {
		if err := a.checkDirs(); err != nil {
			return err
		}
	}
	var p *pipeline.Policy
	if o.policy != "" {
		var err error
		if p, err = loadPipelinePolicy(ctx, o.policy); err != nil {
			return err
		}
	}
	if o.command != nil {
		ctx, o.stops = watchStops(ctx)
		defer o.stops.end()
	}
	return o.stops.status(ctx, a.sealForm(ctx, o, p, streams))
}

func (a *app) sealForm(ctx context.Context, o *sealOptions, p *pipeline.Policy, streams streams) error {
	switch {
	case o.record != "":
		return a.sealRecord(ctx, o, p, streams)
	case len(o.from) > 0:
		return a.sealRedeem(ctx, o, p)
	}
	return a.sealPushed(ctx, o, p, streams)
}

// evidence is what is known before a command is run, and all there is without one.
func (a *app) evidence(o *sealOptions) (seal.Evidence, error) {
	e := seal.Evidence{Stage: o.stages[0], Tool: a.userAgent()}
	origin := seal.OriginOf(a.getenv)
	e.Commit, e.Run = origin.Commit, origin.Run
	if o.commit != "" {
		e.Commit = o.commit
	}
	if o.run != "" {
		e.Run = o.run
	}
	if err := e.Check(); err != nil {
		return e, invalid(err.Error())
	}
	return e, nil
}
