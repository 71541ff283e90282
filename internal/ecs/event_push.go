package ecs

import (
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/watch"
)

// push reads "ECR Image Action" ("Amazon ECR events and EventBridge", Amazon
// ECR User Guide). Whether what was pushed is an image or a signature is
// for its manifest to say: newer events name types, which whoever pushes chooses.
func (e *envelope) push(ev *Event) error {
	var d struct {
		Result       string `json:"result"`
		Repository   string `json:"repository-name"`
		Digest       string `json:"image-digest"`
		Action       string `json:"action-type"`
		Tag          string `json:"image-tag"`
		ManifestType string `json:"manifest-media-type"`
		ArtifactType string `json:"artifact-media-type"`
	}
	if err := e.detail(&d); err != nil {
		return err
	}
	at := e.field("detail")
	if err := check(text{join(at, "result"), d.Result}, text{join(at, "action-type"), d.Action}, text{join(at, "repository-name"), d.Repository}); err != nil {
		return err
	}
	e.owner(ev, d.Repository)
	ev.What += " " + awscall.Printable(d.Action, 60)
	switch {
	case d.Result != "SUCCESS":
		ev.irrelevant("it did not succeed (result %s)", awscall.Printable(d.Result, 60))
		return nil
	case d.Action != "PUSH":
		ev.irrelevant("nothing was pushed (action-type %s)", awscall.Printable(d.Action, 60))
		return nil
	case digest.Digest(d.Digest).Validate() != nil:
		return malformed(join(at, "image-digest"), "%q is no digest", awscall.Printable(d.Digest, 120))
	case !shuin.ValidRepository(d.Repository):
		return malformed(join(at, "repository-name"), "%q is no repository", awscall.Printable(d.Repository, 300))
	case d.Tag != "" && !shuin.ValidTag(d.Tag):
		return malformed(join(at, "image-tag"), "%q is no tag", awscall.Printable(d.Tag, 300))
	case ev.Account == "":
		return malformed(e.field("account"), "missing or empty")
	}
	if err := bounded(text{join(at, "manifest-media-type"), d.ManifestType}, text{join(at, "artifact-media-type"), d.ArtifactType}); err != nil {
		return err
	}
	partition := awscall.Partition(ev.Region)
	p := &Push{
		Registry:   ev.Account + ".dkr.ecr." + ev.Region + "." + awsDomain(partition),
		Repository: d.Repository, Digest: digest.Digest(d.Digest), Tag: d.Tag, ManifestType: d.ManifestType, ArtifactType: d.ArtifactType,
	}
	ref := shuin.Reference{Registry: p.Registry, Repository: p.Repository, Tag: p.Tag, Digest: p.Digest}
	ev.Kind = KindSeen
	ev.Seen = &Seen{Push: p, Observation: watch.Observation{
		Subject: watch.Subject{
			// With the digest: two pushes to one repository are two subjects, and
			// neither is older than the other.
			Kind: watch.Image, ARN: "arn:" + partition + ":ecr:" + ev.Region + ":" + ev.Account + ":repository/" + d.Repository + "@" + d.Digest,
			Account: ev.Account, Region: ev.Region, Group: "repository:" + d.Repository,
		},
		Phase: watch.Pushed, Version: ev.Time.UnixMilli(), At: ev.Time, Images: []gate.Image{{Written: ref.String()}}, Event: ev.ID,
	}}
	return nil
}

// owner takes the account from the repository's ARN where the envelope has
// none.
func (e *envelope) owner(ev *Event, repository string) {
	for _, arn := range e.Resources {
		if r, err := arnOf("", arn, "ecr", "repository"); err == nil && ev.Account == "" && r.path == repository && r.region == ev.Region {
			ev.Account = r.account
		}
	}
}
