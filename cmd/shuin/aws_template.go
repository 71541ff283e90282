package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	kit "github.com/shuin/shuin/deploy/aws"
)

func newAWSTemplateCmd(a *app) *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "template [flags] [NAME]",
		Short: "Print a CloudFormation template of the AWS deploy kit",
		Long: a.help(`Print a CloudFormation template of the AWS deploy kit, as it was released with this program. Nothing is asked of AWS.
Without a name it is the template of the function that gates and watches ECS.

Example - Deploy the function:
  {} aws template > shuin.yaml
  aws cloudformation deploy --template-file shuin.yaml --stack-name shuin --capabilities CAPABILITY_IAM --parameter-overrides ...

Example - Say which templates there are:
  {} aws template --list
`),
		Args: func(cmd *cobra.Command, args []string) error { return noArgs(cmd, args[min(1, len(args)):]) },
		RunE: func(_ *cobra.Command, args []string) error { return a.awsTemplate(list, args) },
	}
	cmd.Flags().BoolVar(&list, "list", false, "say which templates there are")
	return cmd
}

func (a *app) awsTemplate(list bool, args []string) error {
	all := kit.Templates()
	if list {
		if len(args) > 0 {
			return invalidf("flag --list takes no name")
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 3, ' ', 0)
		for _, t := range all {
			fmt.Fprintf(w, "%s\t%s\n", t.Name, t.Title)
		}
		return w.Flush()
	}
	name := all[0].Name
	if len(args) > 0 {
		name = args[0]
	}
	var names []string
	for _, t := range all {
		if t.Name == name {
			text, _ := kit.Read(name) // embedded: TestEveryTemplateIsEmbedded
			_, err := a.stdout.Write(text)
			return err
		}
		names = append(names, t.Name)
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("there is no template %q", name),
		Hint: "there are " + strings.Join(names, ", ")}
}
