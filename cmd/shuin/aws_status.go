package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsdeploy"
)

type awsStatusOptions struct {
	debug           bool
	stack           string
	region, profile string
	timeout         time.Duration
	output          outputFlag
}

func newAWSStatusCmd(a *app) *cobra.Command {
	var o awsStatusOptions
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Say what a stack of the AWS deploy kit set up, what is missing, and how to mend it",
		Long: a.help(`Say what a stack of the AWS deploy kit set up: function, policy, rules with the last event that each saw, queue and dead
letters, alarms, and whether CloudTrail logs; and what is missing, with what mends it. Nothing is changed.

Exit status: 0 all is well, 1 something is missing (or the command could not be carried out: a flag, no such stack), 2 AWS
could not be asked.

Example - Ask about the stack "shuin":
  {} aws status

Example - Ask about another, for a program:
  {} aws status --stack gate-prod --region ap-northeast-1 --output json
`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.awsStatus(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	fs.StringVar(&o.stack, "stack", "shuin", "name or ARN of the stack")
	fs.StringVar(&o.region, "region", "", "AWS region (default: $AWS_REGION or the AWS profile's)")
	fs.StringVar(&o.profile, "aws-profile", "", "profile of the AWS configuration files (default: $AWS_PROFILE)")
	fs.DurationVar(&o.timeout, "timeout", 2*time.Minute, "what AWS has not answered by then could not be asked")
	o.output.add(fs, "text", "json")
	return cmd
}

func (a *app) awsStatus(ctx context.Context, o *awsStatusOptions) error {
	a.startDebug(o.debug)
	if err := o.output.check(); err != nil {
		return err
	}
	if o.timeout <= 0 {
		return invalidf("flag --timeout has to be longer than nothing")
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	asker := stackAsker{
		reader: &awsdeploy.Reader{Caller: a.awsClient().Caller, As: awscall.As{Region: o.region, Profile: o.profile}},
		now:    a.now(),
	}
	status, err := asker.ask(ctx, o.stack)
	if err != nil {
		return unasked(err)
	}
	if o.output.value == "json" {
		err = writeJSON(a.stdout, status)
	} else {
		err = a.printStackStatus(status)
	}
	if err != nil {
		return err
	}
	return status.failure()
}

// unasked is the error where the stack itself could not be read: one that is
// not there is an answer, all else is none.
func unasked(err error) error {
	if awsdeploy.NotThere(err) || shuin.CodeOf(err) == shuin.CodeInvalidInput {
		return &statusError{err: err, status: exitFailed}
	}
	return &statusError{err: err, status: exitUndecided}
}

// failure is the command's own error for what the status says.
func (s *stackStatus) failure() error {
	missing, unknown := s.count(partMissing), s.count(partUnknown)
	switch {
	case missing > 0:
		return &statusError{err: errors.New(plural(missing, "part is", "parts are") + " missing or not well"), status: exitFailed}
	case unknown > 0:
		return &statusError{err: errors.New(plural(unknown, "part", "parts") + " could not be asked about"), status: exitUndecided}
	}
	return nil
}
