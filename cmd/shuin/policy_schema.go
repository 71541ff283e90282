package main

import (
	"github.com/spf13/cobra"

	"github.com/shuin/shuin/pipeline"
)

func newPolicySchemaCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of pipeline policies",
		Long: a.help(`Print the JSON Schema of pipeline policies, for editors. What a schema cannot say, "{} policy lint" finds.

Example - Let an editor know it:
  {} policy schema > pipeline-policy.schema.json
`),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(pipeline.Schema())
			return err
		},
	}
}
