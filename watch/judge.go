package watch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// hashed is SHA-256 over texts, each with its length before it.
func hashed(texts ...string) []byte {
	h := sha256.New()
	var n [8]byte
	for _, t := range texts {
		binary.BigEndian.PutUint64(n[:], uint64(len(t)))
		h.Write(n[:])
		h.Write([]byte(t))
	}
	return h.Sum(nil)
}

func idOf(texts ...string) string { return hex.EncodeToString(hashed(texts...)[:16]) }

func stateOf(texts ...string) digest.Digest {
	return digest.NewDigestFromBytes(digest.SHA256, hashed(texts...))
}

// group is what findings about s are told once for.
func (s *Subject) group() string {
	if s.Group != "" {
		return s.Group
	}
	return s.ARN
}

// imageID is the ID of a finding about one container of a subject.
func imageID(s *Subject, container, repository string) string {
	return idOf(string(NotAdmitted), string(s.Kind), s.Account, s.Region, s.Cluster, s.group(), container, repository)
}

// repositoryOf is the repository of an image's verdict as policies spell it; of
// a reference that cannot be read, what was written without tag and digest.
func repositoryOf(iv *gate.ImageVerdict) string {
	if name := iv.Artifact.Name(); name != "" && iv.Artifact.Digest() != "" {
		return name
	}
	if ref, err := shuin.ParseReference(iv.Image.Written); err == nil {
		return ref.Canonical().Name()
	}
	name, _, _ := strings.Cut(iv.Image.Written, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return oneLine(name, limits.WatchTextBytes)
}

// findings are what a verdict shows: one for each image that is not admitted,
// each once. undecided says whether one could not be checked.
func findings(o *Observation, v *gate.Verdict, now time.Time) (out []Finding, undecided error) {
	for i := range v.Images {
		iv := &v.Images[i]
		switch iv.Outcome {
		case pipeline.Admit:
			continue
		case pipeline.Undecided:
			if undecided == nil {
				undecided = iv.Err
			}
		}
		f := imageFinding(o, v, iv, now)
		if !slices.ContainsFunc(out, func(x Finding) bool { return x.ID == f.ID && x.State == f.State }) {
			out = append(out, f)
		}
	}
	return out, undecided
}

// imageFinding is the finding about one image, whatever its outcome.
func imageFinding(o *Observation, v *gate.Verdict, iv *gate.ImageVerdict, now time.Time) Finding {
	f := Finding{
		Kind: NotAdmitted, Subject: o.Subject, Phase: o.phase(), Event: o.Event, By: o.By, At: o.At, Time: now,
		Container: oneLine(iv.Image.Name, limits.WatchTextBytes), Image: oneLine(iv.Image.Written, limits.WatchTextBytes),
		Repository: repositoryOf(iv), Digest: iv.Digest(), Running: iv.Image.Running,
		Outcome: iv.Outcome, Mode: iv.Mode, Rule: iv.Rule, Policy: v.Policy,
		Code: shuin.CodeOf(iv.Err), Hint: oneLine(shuin.HintOf(iv.Err), limits.WatchHintBytes),
	}
	if f.Running.Validate() != nil {
		f.Running = ""
	}
	if iv.Err != nil {
		f.Message = oneLine(iv.Err.Error(), limits.WatchMessageBytes)
	}
	for _, s := range iv.Stages {
		if s.Missing {
			f.Missing = append(f.Missing, s.Stage)
		}
	}
	f.Severity = severityOf(&f)
	f.ID = imageID(&o.Subject, f.Container, f.Repository)
	parts := []string{string(f.judged()), string(f.Code), f.Rule, outcomeName(f.Outcome), modeName(f.Mode)}
	f.State = stateOf(append(parts, f.Missing...)...)
	return f
}

// judged is the digest of what f is about. That is not Digest where a tag was
// moved: it then names something else than what runs. What has no digest at all
// is known by what is written.
func (f *Finding) judged() digest.Digest {
	if f.Digest != "" && f.Code != shuin.CodeNotInIndex {
		return f.Digest
	}
	if f.Running != "" {
		return f.Running
	}
	return f.unresolved()
}

// unresolved stands for the digest of what was written, while nobody knows it.
func (f *Finding) unresolved() digest.Digest { return stateOf("written", f.Image) }

// untold stands for the digest that a task runs and nobody tells.
func (f *Finding) untold() digest.Digest { return stateOf("untold", f.Image) }

// about is what f is remembered under as told, and ended by: what was judged, but
// of a tag of which nobody tells what runs, and which is refused for that or could
// not be checked, just that. What a task that starts shows of the tag says nothing
// of it.
func (f *Finding) about() digest.Digest {
	runs := f.Subject.Kind == Task && f.Phase != Starting && f.Running == "" && !strings.Contains(f.Image, "@")
	if runs && (f.Code == shuin.CodeTagRefused || f.Outcome == pipeline.Undecided || f.Digest == "") {
		return f.untold()
	}
	return f.judged()
}

// ends says whether f, which is resolved, shows that what was told about this
// digest is over.
func (f *Finding) ends(about digest.Digest) bool {
	return about == f.Digest || about == f.Running || about == f.unresolved() ||
		about == f.untold() && f.Phase != Starting && f.Running == ""
}

func severityOf(f *Finding) Severity {
	switch {
	case f.Phase == Pushed, f.Mode == pipeline.Audit:
		return Low
	case f.Mode == pipeline.Warn, f.Outcome == pipeline.Undecided:
		return Medium
	}
	return High
}

// resolved is the finding that says that what was told about an image is over.
func resolved(o *Observation, v *gate.Verdict, iv *gate.ImageVerdict, now time.Time) Finding {
	f := imageFinding(o, v, iv, now)
	f.Resolved, f.Severity, f.Missing, f.Hint, f.Code = true, Low, nil, "", ""
	f.State = stateOf("resolved", string(f.Digest), f.Rule)
	switch e := iv.Exception; {
	case e != nil:
		f.Message = fmt.Sprintf("finding resolved: the image is admitted by the exception %q of %s until %s", e.Reason, e.Owner, e.Expires.UTC().Format(time.RFC3339))
	case iv.Rule == "":
		f.Message = "finding resolved: the image is admitted, since no rule matches it"
	default:
		f.Message = fmt.Sprintf("finding resolved: the image is admitted by rule %q", iv.Rule)
	}
	f.Message = oneLine(f.Message, limits.WatchMessageBytes)
	return f
}

// workload is what the gate is asked about o. Of a task or Pod it is wanted to
// know whether what its tags resolve to is sealed: ECS or the kubelet has
// resolved them, or is about to, and what it found is judged once it runs.
// Everything else is judged as it is written, as `shuin check` does. What was
// registered or pushed may run in any cluster: that none is known is held
// against no image.
func (o *Observation) workload() gate.Workload {
	return gate.Workload{Images: slices.Clone(o.Images), Where: o.Where, AnyCluster: o.Where.Cluster == "", Pins: o.Subject.Kind == Task || o.Subject.Kind == Pod}
}

// decide has o decided.
func (o *Observation) decide(ctx context.Context, g Decider) *gate.Verdict {
	work := o.workload()
	v := DecideRunning(ctx, g, work)
	if v == nil || o.Subject.Kind != Task || o.phase() == Starting { // of a Pod, a container without a digest has not started
		return v
	}
	which, images := untold(v)
	if len(which) == 0 {
		return v
	}
	work.Images, work.Pins = images, false
	again := g.Decide(ctx, work)
	if again == nil {
		return v
	}
	return joined(v, which, again, true)
}

// untold are the images of a task that runs of which ECS tells no digest, and
// which are admitted by what their tags name now. That need not be what runs:
// nobody pinned it, so that they are judged as they are written.
func untold(v *gate.Verdict) (which []int, images []gate.Image) {
	for i := range v.Images {
		iv := &v.Images[i]
		if iv.Outcome == pipeline.Admit && iv.Image.Running == "" && !strings.Contains(iv.Image.Written, "@") {
			which, images = append(which, i), append(images, iv.Image)
		}
	}
	return which, images
}

// DecideRunning has work decided by what runs: where a tag names something else
// by now than the digest that runs, that digest is judged by itself. Both may be
// admitted; what runs and is not stays denied. tagged are the containers of
// which a tag is meant, though work has a digest that it named.
func DecideRunning(ctx context.Context, g Decider, work gate.Workload, tagged ...string) *gate.Verdict {
	v := g.Decide(ctx, work)
	if v == nil {
		return nil
	}
	which, images := moved(v, tagged)
	if len(which) == 0 {
		return v
	}
	work.Images, work.Pins = images, false
	again := g.Decide(ctx, work)
	if again == nil {
		return v
	}
	return joined(v, which, again, false)
}

// moved are the images of a verdict whose tags name something else by now than
// what runs, each with what runs in place of what is written.
func moved(v *gate.Verdict, tagged []string) (which []int, images []gate.Image) {
	for i := range v.Images {
		iv := &v.Images[i]
		if iv.Outcome != pipeline.Deny || shuin.CodeOf(iv.Err) != shuin.CodeNotInIndex || iv.Image.Running.Validate() != nil {
			continue
		}
		if strings.Contains(iv.Image.Written, "@") && !slices.Contains(tagged, iv.Image.Name) {
			continue
		}
		which = append(which, i)
		images = append(images, gate.Image{Name: iv.Image.Name, Written: repositoryOf(iv) + "@" + string(iv.Image.Running)})
	}
	return which, images
}

// joined is v with other answers about some of its images: about what runs in
// place of where its tags were moved to. There a denial does not replace: what
// runs may be the image of one platform of an index that no tag leads to any
// more.
func joined(v *gate.Verdict, which []int, again *gate.Verdict, denials bool) *gate.Verdict {
	out := *v
	out.Images = slices.Clone(v.Images)
	for n, i := range which {
		if n >= len(again.Images) || again.Images[n].Outcome == pipeline.Deny && !denials {
			continue
		}
		was := out.Images[i].Image
		out.Images[i] = again.Images[n]
		out.Images[i].Image = was
	}
	sum(&out)
	return &out
}

// sum makes the outcome of v that of its images, as the gate does.
func sum(v *gate.Verdict) {
	v.Outcome, v.Allowed = pipeline.Admit, true
	for i := range v.Images {
		v.Allowed = v.Allowed && v.Images[i].Allowed
	}
	for i := range v.Images {
		iv := &v.Images[i]
		switch {
		case !v.Allowed && iv.Allowed:
		case iv.Outcome == pipeline.Deny:
			v.Outcome = pipeline.Deny
		case iv.Outcome == pipeline.Undecided && v.Outcome == pipeline.Admit:
			v.Outcome = pipeline.Undecided
		}
	}
}

// check refuses an observation that nobody could decide or file.
func (o *Observation) check() error {
	bad := func(format string, args ...any) error {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read the observation: " + fmt.Sprintf(format, args...), Hint: "this is a fault of what made it of an event"}
	}
	switch {
	case !slices.Contains(running, o.Subject.Kind):
		return bad("%q is no kind of subject that runs", oneLine(string(o.Subject.Kind), 60))
	case !slices.Contains([]Phase{Starting, Running, Requested, Registered, Deployed, Pushed, Swept, Asked}, o.Phase):
		return bad("%q is no phase", oneLine(string(o.Phase), 60))
	case o.Subject.ARN == "":
		return bad("the subject has no ARN")
	case len(o.Images) == 0:
		return bad("%s has no images", oneLine(o.Subject.ARN, 200))
	case steers(o.Event) || steers(o.By) || steers(o.Where.Cluster) || steers(o.Where.Namespace):
		return bad("event, by or place of %s hold a control character", oneLine(o.Subject.ARN, 200))
	case len(o.Images) > limits.GateImages:
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s has %d images, and %d are looked at", oneLine(o.Subject.ARN, 200), len(o.Images), limits.GateImages)}
	}
	return o.Subject.bounded()
}

// bounded holds the texts of a subject to their limits: they become parts of
// keys and findings.
func (s *Subject) bounded() error {
	for _, t := range []struct {
		name, text string
		most       int
	}{
		{"ARN", s.ARN, limits.WatchARNBytes}, {"account", s.Account, limits.WatchNameBytes}, {"region", s.Region, limits.WatchNameBytes},
		{"cluster", s.Cluster, limits.WatchTextBytes}, {"group", s.Group, limits.WatchTextBytes},
		{"task definition", s.TaskDefinition, limits.WatchARNBytes}, {"startedBy", s.StartedBy, limits.WatchTextBytes},
	} {
		if len(t.text) > t.most {
			return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the %s of the subject is longer than %d bytes", t.name, t.most)}
		}
		if steers(t.text) {
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the %s of the subject holds a control character: %s", t.name, oneLine(t.text, 200)), Hint: "neither ECS nor Kubernetes has such names: find out who may put events on this bus or queue"}
		}
	}
	return nil
}

// claim is what has to be claimed to decide o. Starting and Running are one
// line of versions, every other phase its own. What somebody did is claimed
// event by event: times of calls are whole seconds and come out of order, and
// of two calls of one second both are to be judged. A sweep finds a task
// definition once in each cluster that it runs in, where another rule may match.
func (o *Observation) claim() Claim {
	line := string(o.Phase)
	switch o.Phase {
	case Starting, Running:
		line = "state"
	case Swept:
		if o.Subject.Kind == TaskDefinition && o.Subject.Cluster != "" {
			return Claim{Key: claimKey(string(o.Subject.Kind), o.Subject.ARN+"#"+o.Subject.Cluster, line), Version: o.Version}
		}
	case Requested, Deployed, Pushed:
		if o.Event != "" {
			return Claim{Key: claimKey(string(o.Subject.Kind), o.Subject.ARN+"#"+o.Event, line), Version: o.Version}
		}
	}
	return Claim{Key: claimKey(string(o.Subject.Kind), o.Subject.ARN, line), Version: o.Version}
}

// claimKey joins parts to a key of printable ASCII; what is longer than a key
// may be, or holds anything else, is hashed.
func claimKey(kind, name, line string) string {
	key := kind + "/" + line + "/" + name
	plain := strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if plain && len(key) <= limits.WatchKeyBytes {
		return key
	}
	return kind + "/" + line + "/" + hex.EncodeToString(hashed(name))
}

// dropped says whether the store's answer means that nothing is to be done.
func dropped(err error) bool { return errors.Is(err, ErrDuplicate) || errors.Is(err, ErrOlder) }
