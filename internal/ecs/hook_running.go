package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// running has work decided with what the tasks that started really run, where
// from is a TaskReader. tagged are the containers that a task definition names
// by tag, whatever digest ECS has on record of them: where there are none, what
// runs is what is written. must: the tasks run by now, so that what ECS tells no
// digest of, and would, could not be checked.
func (out *result) running(ctx context.Context, g Decider, from any, service string, of Started, work gate.Workload, tagged []string, must bool) {
	reader, ok := from.(TaskReader)
	if !ok || len(tagged) == 0 {
		out.verdict = g.Decide(ctx, work)
		return
	}
	if work.Images, out.err = withRunning(ctx, reader, service, of, work.Images); out.err != nil {
		return
	}
	if out.verdict = watch.DecideRunning(ctx, g, work, tagged...); out.verdict != nil {
		out.untold(must)
	}
}

// withRunning are the images with the digests that running tasks tell, all of
// them: one task may run another digest than the next, or than is on record.
func withRunning(ctx context.Context, reader TaskReader, service string, of Started, images []gate.Image) ([]gate.Image, error) {
	tasks, err := reader.RunningImages(ctx, service, of)
	if err != nil {
		return nil, err
	}
	if len(tasks) > limits.EventContainers {
		return nil, tooMuch("containers of running tasks", len(tasks), "different ones", limits.EventContainers, "EventContainers")
	}
	digests := map[string][]digest.Digest{}
	for i, t := range tasks {
		if t.Digest == "" {
			continue // not of Amazon ECR
		}
		if _, err := imageOf(index("tasks", i), t.Container, "", string(t.Digest)); err != nil {
			return nil, err
		}
		digests[t.Container] = append(digests[t.Container], t.Digest)
	}
	var out []gate.Image
	for _, image := range images {
		found := digests[image.Name]
		if image.Running != "" || len(found) == 0 {
			out = append(out, image)
		}
		for _, d := range found {
			if d != image.Running {
				running := image
				running.Running = d
				out = append(out, running)
			}
		}
	}
	return out, nil
}

// untold looks at the images that the verdict allows and of which nothing tells
// what runs: their tags may name something else than when tasks were started.
// Those of Amazon ECR could not be checked, where a rule is to be enforced; of
// others ECS tells no digest, ever.
func (out *result) untold(must bool) {
	var open, others []string
	for i := range out.verdict.Images {
		iv := &out.verdict.Images[i]
		if !iv.Allowed || iv.Image.Running != "" || !byTag(iv.Image) {
			continue
		}
		if must && ofECR(iv.Image.Written) && iv.Rule != "" && iv.Mode == pipeline.Enforce {
			open = append(open, shown(iv.Image))
		} else {
			others = append(others, shown(iv.Image))
		}
	}
	if len(others) > 0 {
		out.note = fmt.Sprintf("it is not known which digest runs of %s: what the tag names now was judged", list(others))
	}
	if len(open) > 0 && out.verdict.Allowed {
		out.err = &shuin.Error{Code: shuin.CodeUnavailable, Message: "no running task of the deployment tells the digest of " + list(open),
			Hint: "write the image by digest; or give the service a desired count above zero, and see whether its tasks start"}
	}
}

// notPinned says which containers of a task definition have a tag that ECS
// resolves for each task anew.
func notPinned(definition RevisionImages) string {
	var all []string
	for _, c := range definition.Images {
		if image := Image(c.Container, c.Image, ""); byTag(image) && slices.Contains(definition.Unresolved, c.Container) {
			all = append(all, shown(image))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "versionConsistency is disabled, so that tasks started later may run something else than was judged, of " + list(all)
}

// tagged are the containers that have a tag: in the task definition, or, of
// those that ECS itself adds, among all images.
func tagged(definition RevisionImages, images []gate.Image) (names []string) {
	for _, c := range definition.Images {
		if byTag(Image(c.Container, c.Image, "")) {
			names = append(names, c.Container)
		}
	}
	for _, image := range images {
		if byTag(image) {
			names = append(names, image.Name)
		}
	}
	return names
}

// byTag reports whether the image is not written by digest.
func byTag(image gate.Image) bool {
	ref, err := shuin.ParseReference(image.Written)
	return err != nil || ref.Digest == ""
}

// ofECR reports whether the image is of a private registry of Amazon ECR: of
// those ECS tells the digests that run ("Container", Amazon ECS API Reference).
func ofECR(image string) bool {
	host, _, _ := strings.Cut(image, "/")
	account, rest, _ := strings.Cut(host, ".")
	return awsprofile.ValidAccount(account) && (strings.HasPrefix(rest, "dkr.ecr") || strings.HasPrefix(rest, "dkr-ecr"))
}

// shown is an image for people.
func shown(image gate.Image) string {
	return awscall.Printable(image.Name, 100) + " (" + awscall.Printable(image.Written, 300) + ")"
}

// list names a few, and says how many more there are.
func list(all []string) string {
	slices.Sort(all)
	all = slices.Compact(all)
	if more := len(all) - limits.HookNoted; more > 0 {
		all = append(all[:limits.HookNoted:limits.HookNoted], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}

// joinNotes joins notes that may be empty.
func joinNotes(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "; ")
}
