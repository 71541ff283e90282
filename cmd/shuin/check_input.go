package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/manifest"
)

// deployFlags name what is deployed: files of a format that is recognised or
// told, and what ECS has.
type deployFlags struct {
	from            string
	taskDefinitions []string
	services        []string
	region, profile string
	files           []string
}

// deployFormats are the names of --from.
func deployFormats() map[string]manifest.Format {
	return map[string]manifest.Format{
		"": manifest.Recognise, "k8s-manifests": manifest.Kubernetes,
		"task-definitions": manifest.TaskDefinition, "image-definitions": manifest.ImageDefinitions,
	}
}

func (d *deployFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&d.from, "from", "", "what the files are: k8s-manifests, task-definitions or image-definitions (default: recognised, each file for itself)")
	fs.StringArrayVar(&d.taskDefinitions, "task-definition", nil, "ECS task definition to read from AWS: an ARN, or FAMILY:REVISION; may be given several times")
	fs.StringArrayVar(&d.services, "service", nil, "ECS service whose task definitions to read from AWS: CLUSTER/NAME, or an ARN; may be given several times")
	fs.StringVar(&d.region, "region", "", "AWS region (default: that of the ARN, else $AWS_REGION or the AWS profile's)")
	fs.StringVar(&d.profile, "aws-profile", "", "profile of the AWS configuration files (default: $AWS_PROFILE)")
}

// check finds what is wrong before anything is read.
func (d *deployFlags) check() error {
	n := len(d.files) + len(d.taskDefinitions) + len(d.services)
	_, known := deployFormats()[d.from]
	switch {
	case !known:
		return invalidf("flag --from is %q; it has to be k8s-manifests, task-definitions or image-definitions", d.from)
	case n == 0:
		return invalid("nothing to check: name a file, - for standard input, --task-definition or --service")
	case n > limits.CheckFiles:
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%d files and names were given, more than %d (limit CheckFiles)", n, limits.CheckFiles)}
	case len(d.files)-len(slices.DeleteFunc(slices.Clone(d.files), func(f string) bool { return f == "-" })) > 1:
		return invalid("standard input (-) was named twice")
	case len(d.files) > 0 && slices.Contains(d.files, ""):
		return invalid("a file name is empty")
	}
	return nil
}

// deployed is what was read at one place.
type deployed struct {
	file           string // as named; "-" is standard input; empty: from AWS
	taskDefinition string // ARN or name; empty: a file
	service        string // "CLUSTER/NAME"; empty: none
	cluster        string // that it is known to run in; empty: not known
	manifest.File
}

// label is where it came from, for a person.
func (d *deployed) label() string {
	switch {
	case d.file == "-":
		return "standard input"
	case d.file != "":
		return d.file
	case d.service != "":
		return "service " + d.service + ", " + d.taskDefinition
	}
	return d.taskDefinition
}

// readDeployed reads everything that is named. The faults of all files are
// told at once; AWS is asked only where there are none.
func (a *app) readDeployed(ctx context.Context, d *deployFlags) ([]*deployed, error) {
	var all []*deployed
	var faults []error
	for _, name := range d.files {
		one := &deployed{file: name}
		all = append(all, one)
		data, err := a.readDeployFile(ctx, name)
		if err == nil {
			err = one.parse(data, deployFormats()[d.from])
		}
		if err != nil {
			faults = append(faults, &shuin.Error{Code: inputCode(err), Err: below(one.label(), err)})
		}
	}
	tasks, services, err := d.names()
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, joinLines(faults)
	}
	fromAWS, err := a.readECS(ctx, d, tasks, services)
	return append(all, fromAWS...), err
}

// inputCode is the code of a file that cannot be read: bad input, unless a
// limit was hit or the user gave up.
func inputCode(err error) shuin.Code {
	switch code := shuin.CodeOf(err); code {
	case shuin.CodeLimit, shuin.CodeDeadline:
		return code
	}
	return shuin.CodeInvalidInput
}

// joinLines is one error, or several each on its own line.
func joinLines(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return &shuin.Error{Code: shuin.CodeOf(errs[0]), Err: below(fmt.Sprintf("%d inputs cannot be used", len(errs)), errs...)}
}

func (a *app) readDeployFile(ctx context.Context, name string) ([]byte, error) {
	if name != "-" {
		return readFile(ctx, name, limits.DeployFileBytes, "DeployFileBytes")
	}
	data, err := interruptible(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, limits.DeployFileBytes+1)) })
	if err == nil && len(data) > limits.DeployFileBytes {
		err = &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("larger than %d bytes (limit DeployFileBytes)", limits.DeployFileBytes)}
	}
	return data, err
}

func (d *deployed) parse(data []byte, f manifest.Format) error {
	file, err := manifest.Read(data, f)
	if err == nil {
		d.File = *file
	}
	return err
}

// kinds names some of the objects without images.
func kinds(sources []manifest.Source) string {
	var names []string
	for _, s := range sources {
		names = append(names, s.String())
	}
	const most = 5
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(sources)-most))
	}
	return strings.Join(names, ", ")
}
