// Package deploy holds the deploy kit to what it says: the CloudFormation
// templates are valid and least privileged, and the CI kits' steps run.
package deploy
