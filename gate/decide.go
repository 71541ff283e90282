package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// deciding is one call of Decide: it sees one state of the rules.
type deciding struct {
	g     *Gate
	m     *memory
	rules *Rules
	w     *Workload
	now   time.Time
	// clusterOf each image is where it is judged, in place of w's; nil: all in w's.
	clusterOf []string
}

// task is one image of it.
type task struct {
	iv *ImageVerdict
	*parsed
	where pipeline.Where
	// sel is without exceptions: they stand above what is remembered.
	sel       pipeline.Selection
	exception *pipeline.Exception
	expired   *pipeline.Exception
	artifact  shuin.Artifact // of a tag that was resolved
	digest    digest.Digest  // to be judged; empty: not known yet
	key       key            // once the digest is known
	keyed     bool
	member    bool      // what runs was found in the index
	until     time.Time // how long the answer is given again; zero: it is not remembered
}

// images answers for all images: each distinct one once, what is not known
// side by side.
func (d *deciding) images(ctx context.Context, out []ImageVerdict) {
	var first map[Image]int // the first of several that are the same
	if len(out) > 1 {
		first = make(map[Image]int, len(out))
	}
	var open []*task
	for i := range out {
		image := out[i].Image
		image.Name = ""
		if _, known := first[image]; known {
			continue
		}
		if first != nil {
			first[image] = i
		}
		if t := (task{iv: &out[i], where: d.where(i)}); !d.begin(&t) {
			left := t
			open = append(open, &left)
		} else {
			t.bound(d.now)
		}
	}
	if len(open) > 0 {
		together(len(open), limits.GateParallel, func(i int) {
			d.finish(ctx, open[i])
			open[i].bound(d.g.o.Now())
		})
	}
	for i := range out {
		image := out[i].Image
		image.Name = ""
		if n, known := first[image]; known && n != i {
			image.Name = out[i].Image.Name
			out[i] = out[n]
			out[i].Image = image
		}
	}
}

// begin answers what can be answered at once, without asking anybody.
func (d *deciding) begin(t *task) bool {
	t.iv.TrustHash = d.rules.trust
	var err error
	if t.parsed, err = d.m.parse(t.iv.Image.Written); err != nil {
		hint := shuin.HintOf(err)
		if hint == "" {
			hint = "name registry, repository and digest: registry/repository@sha256:…"
		}
		t.settle(pipeline.Deny, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read the image reference", Err: err, Hint: hint})
		return true
	}
	t.digest = t.ref.Digest
	d.choose(t)
	if r := t.iv.Image.Running; r != "" && r.Validate() != nil {
		t.settle(pipeline.Deny, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("what runs is named %.100q, which is no digest", string(r))})
		return true
	}
	if t.digest != "" {
		return d.known(t, d.now)
	}
	return d.refused(t)
}

// bound sets an end to every answer but a good one: what is denied or could not
// be checked is worth asking about again soon, also where the last good answer
// serves meanwhile.
func (t *task) bound(now time.Time) {
	if iv := t.iv; iv.Outcome != pipeline.Admit {
		iv.StaleUntil = earlier(earlier(iv.StaleUntil, t.until), now.Add(limits.GateDenyLife))
	}
}

// choose picks the rule, for the digest as far as it is known.
func (d *deciding) choose(t *task) {
	sel := d.rules.policy.Select(pipeline.Question{
		Repository: t.name, Digest: t.digest, Where: t.where, Now: d.now,
	})
	t.sel, t.exception, t.expired = *sel, sel.Exception, sel.Expired
	t.sel.Exception, t.sel.Expired = nil, nil
	t.iv.Rule, t.iv.Mode = sel.Rule, sel.Mode
}

// refused answers for a tag before anybody is asked what it is.
func (d *deciding) refused(t *task) bool {
	if t.exception != nil {
		return false
	}
	if t.sel.Rule == "" && !t.sel.NeedsSignatures {
		// No rule: nobody is asked about images that nobody thought of.
		if dec := t.sel.Decide(nil, nil, d.now); dec.Outcome == pipeline.Deny && (t.digest != "" || !d.excepted(t)) {
			t.conclude(dec)
			return true
		}
		return false
	}
	switch {
	case t.sel.Tags == pipeline.Refuse:
		t.settle(pipeline.Deny, &shuin.Error{
			Code:    shuin.CodeTagRefused,
			Message: fmt.Sprintf("the image is named by its tag %q alone, and rule %q wants a digest", t.ref.Tag, t.sel.Rule),
			Hint:    "write the image with its digest: " + t.name + "@sha256:…",
		})
	case t.sel.Tags == pipeline.Pin && !d.w.Pins:
		t.settle(pipeline.Deny, &shuin.Error{
			Code:    shuin.CodeTagRefused,
			Message: fmt.Sprintf("the image is named by its tag %q alone, and nobody pins it here to the digest that is judged", t.ref.Tag),
			Hint:    "write the image with its digest: " + t.name + "@sha256:…; or set tags of the rule to allowUnpinned",
		})
	default:
		return false
	}
	return true
}

// excepted says whether an exception in force names some digest of the
// repository: then it is worth knowing which one the tag names, for who pins it.
func (d *deciding) excepted(t *task) bool {
	return d.w.Pins && d.rules.policy.ExceptsSomeDigest(t.name, t.where, d.now)
}

// known answers for a digest from what needs nobody: exceptions, lists and
// what is remembered.
func (d *deciding) known(t *task, now time.Time) bool {
	iv := t.iv
	if iv.Pinned = t.pinned; iv.Pinned == "" {
		iv.Pinned = pinned(t.name, t.digest)
	}
	iv.Artifact = t.artifact
	iv.Unpinned = t.ref.Digest == "" && !d.w.Pins
	if r := iv.Image.Running; r != "" && r != t.digest && !t.member {
		return false
	}
	if t.exception != nil && !d.g.o.Survey {
		t.excuse()
		return true
	}
	if !t.sel.NeedsSignatures && !d.g.o.Survey {
		t.conclude(t.sel.Decide(nil, nil, now))
		return true
	}
	t.key, t.keyed = d.keyOf(t), true
	if a, _, ok := d.m.verdicts.get(t.key, now); ok {
		t.answered(a)
		return true
	}
	return false
}

// keyOf names what the answer about the task's digest depends on.
func (d *deciding) keyOf(t *task) key {
	l := lastKey{rule: string(t.sel.Hash), trust: string(d.rules.trust), access: d.w.Access, platforms: t.sel.Platforms}
	written := t.digest == t.ref.Digest
	if old := t.last.Load(); written && old != nil && old.rule == l.rule && old.trust == l.trust && old.access == l.access && old.platforms == l.platforms {
		return old.key
	}
	l.key = keyOf(t.name, string(t.digest), l.rule, l.trust, string('0'+rune(l.platforms)), d.g.o.Engine, l.access)
	if written {
		made := l
		t.last.Store(&made)
	}
	return l.key
}

// finish asks the world.
func (d *deciding) finish(ctx context.Context, t *task) {
	if t.digest == "" {
		a, err := d.resolve(ctx, t)
		if err != nil {
			t.unable(err)
			return
		}
		t.artifact, t.digest = a, a.Digest()
		d.choose(t)
		if t.exception == nil && d.refused(t) {
			return
		}
	}
	if d.known(t, d.g.o.Now()) {
		return
	}
	if r := t.iv.Image.Running; r != "" && r != t.digest && !t.member {
		if err := d.membership(ctx, t); err != nil {
			t.unable(err)
			return
		}
		if t.member = true; d.known(t, d.g.o.Now()) {
			return
		}
	}
	q := &question{g: d.g, m: d.m, rules: d.rules, sel: &t.sel, access: d.w.Access, artifact: t.artifact, key: t.key,
		ref: shuin.Reference{Registry: t.ref.Registry, Repository: t.ref.Repository, Digest: t.digest}}
	t.answered(d.survey(ctx, q))
	if t.iv.Outcome == pipeline.Undecided {
		d.lastGood(t)
	}
}

// survey has the question answered. An answer that rests on what was forgotten
// meanwhile, in whosever flight, is nobody's.
func (d *deciding) survey(ctx context.Context, q *question) *answer {
	for range limits.GateAnew {
		a := fly(ctx, d.g, &d.m.surveys, q.access, q.ref.Registry, q.key, q.answer, q.failed)
		if !d.m.over(a) {
			return a
		}
	}
	return q.failed(&shuin.Error{
		Code: shuin.CodeNotBegun, Message: "what the answer rests on was revoked while it was checked, each time", Hint: "ask again",
	})
}

// lastGood lets the last good answer serve, as far as what is known without
// asking anybody still lets it be good.
func (d *deciding) lastGood(t *task) {
	now := d.g.o.Now()
	a, at, ok := d.m.lastGood.get(t.key, now)
	if !ok {
		return
	}
	still := a.again(&t.sel, now)
	if still.Outcome != pipeline.Admit {
		return
	}
	t.iv.Allowed, t.iv.LastGood, t.iv.StaleUntil = true, at, still.StaleUntil
	if t.iv.Artifact.Digest() == "" {
		t.iv.Artifact = a.artifactFor(t.ref)
	}
}

// resolve asks what a tag is: one request for all who ask at the time. The
// answer is never remembered.
func (d *deciding) resolve(ctx context.Context, t *task) (shuin.Artifact, error) {
	ref := shuin.Reference{Registry: t.ref.Registry, Repository: t.ref.Repository, Tag: t.ref.Tag}
	k := keyOf(d.w.Access, ref.String())
	ask := func(ctx context.Context) resolved {
		done, err := d.g.talk(ctx, ref.Registry)
		if err != nil {
			return resolved{err: err}
		}
		defer done()
		source, err := d.g.o.Sources.Open(d.w.Access, ref)
		if err != nil {
			return resolved{err: flat(err)}
		}
		a, err := source.Resolve(ctx, ref)
		if err != nil {
			err = flat(inTime(ctx, err))
		}
		return resolved{a, err}
	}
	var r resolved
	d.g.retry(ctx, t.sel.RetryFor, func() bool {
		r = fly(ctx, d.g, &d.m.resolves, d.w.Access, ref.Registry, k, ask, func(err error) resolved { return resolved{err: err} })
		if d.m.resolves.keep && passing(r.err) {
			d.m.resolves.forget(k)
		}
		return passing(r.err)
	})
	if r.err == nil && r.artifact.Digest() == "" {
		r.err = overdue(ctx, "the tag was not resolved")
	}
	return r.artifact, r.err
}

// membership finds out whether what runs is one of the images of the index
// that is judged. It is asked, never assumed.
func (d *deciding) membership(ctx context.Context, t *task) error {
	k := keyOf(d.w.Access, t.name, string(t.digest))
	found, _, ok := d.m.indexes.get(k, d.g.o.Now())
	if !ok {
		l := fly(ctx, d.g, &d.m.listings, d.w.Access, t.ref.Registry, k, func(ctx context.Context) listing { return d.list(ctx, t, k) },
			func(err error) listing { return listing{err: err} })
		if l.err != nil {
			return l.err
		}
		found = l.platforms
	}
	if holds(found, t.iv.Image.Running) {
		return nil
	}
	e := &shuin.Error{
		Code:    shuin.CodeNotInIndex,
		Message: fmt.Sprintf("%s runs, which is neither %s nor an image of one of its platforms", t.iv.Image.Running, t.digest),
		Hint:    "find out where it comes from, and deploy " + t.iv.Pinned,
	}
	if t.ref.Digest == "" {
		e.Message = fmt.Sprintf("%s runs, which is neither what tag %q names now (%s) nor an image of one of its platforms: the tag may have been moved", t.iv.Image.Running, t.ref.Tag, t.digest)
		e.Hint = "deploy by digest; what runs can be judged as " + t.name + "@" + string(t.iv.Image.Running)
	}
	return e
}

func (d *deciding) list(ctx context.Context, t *task, k key) listing {
	done, err := d.g.talk(ctx, t.ref.Registry)
	if err != nil {
		return listing{err: err}
	}
	defer done()
	ref := shuin.Reference{Registry: t.ref.Registry, Repository: t.ref.Repository, Digest: t.digest}
	source, err := d.g.o.Sources.Open(d.w.Access, ref)
	if err != nil {
		return listing{err: flat(err)}
	}
	a := t.artifact
	if a.Digest() == "" {
		if a, err = source.Resolve(ctx, ref); err != nil {
			return listing{err: flat(inTime(ctx, err))}
		}
	}
	found, err := source.Platforms(ctx, a)
	if err != nil {
		return listing{err: flat(inTime(ctx, err))}
	}
	now := d.g.o.Now()
	d.m.indexes.put(k, found, now, now.Add(limits.GateIndexLife))
	return listing{platforms: found}
}

// answered takes over what a survey led to.
func (t *task) answered(a *answer) {
	if t.iv.Artifact.Digest() == "" {
		t.iv.Artifact = a.artifactFor(t.ref)
	}
	t.iv.Signatures = slices.Clip(a.reports)
	if end := a.until(); end.After(a.at) {
		t.until = end
	}
	t.conclude(a.decision)
	if t.exception != nil {
		t.excuse()
	}
}

// excuse admits by the exception, whatever is so of its stages.
func (t *task) excuse() {
	t.iv.Exception = t.exception
	t.settle(pipeline.Admit, nil)
	t.iv.StaleUntil = t.exception.Expires
}

// artifactFor is what was judged, as the asker wrote it.
func (a *answer) artifactFor(ref shuin.Reference) shuin.Artifact {
	if a.artifact.Digest() == "" || a.artifact.Written() == ref {
		return a.artifact
	}
	own, err := shuin.NewArtifact(ref, a.artifact.Descriptor())
	if err != nil {
		return shuin.Artifact{}
	}
	return own
}

// conclude takes over a decision.
func (t *task) conclude(dec *pipeline.Decision) {
	t.iv.Stages = slices.Clip(dec.Stages)
	t.settle(dec.Outcome, dec.Err)
	t.iv.StaleUntil = dec.StaleUntil
}

// unable takes over why nothing could be judged.
func (t *task) unable(err error) {
	if shuin.CodeOf(err).Undecided() {
		t.settle(pipeline.Undecided, err)
		return
	}
	t.settle(pipeline.Deny, err)
}

// absent says whether what was asked for is not there. It could not be checked,
// but no rule lets it in for that, and it is not waited for: who deploys an
// image before pushing it would choose what runs after the gate was asked.
func absent(err error) bool { return shuin.CodeOf(err) == shuin.CodeNotFound }

// asked says whether the world was asked and could not answer: for that alone a
// rule may admit.
func asked(err error) bool { return !absent(err) && shuin.CodeOf(err) != shuin.CodeNotBegun }

// passing says whether asking once more, a little later, may help. A refused
// credential is refused again.
func passing(err error) bool {
	switch shuin.CodeOf(err) {
	case shuin.CodeNotFound, shuin.CodeUnauthorized, shuin.CodeForbidden:
		return false
	}
	return shuin.CodeOf(err).Undecided()
}

// settle says what is so, and from that what to do. Nothing but a definite
// Admit, a mode that does not enforce, or a rule that admits what could not be
// checked, allows an image.
func (t *task) settle(o pipeline.Outcome, err error) {
	iv := t.iv
	if o == pipeline.Deny && t.expired != nil {
		err = exceptionOver(err, t.expired)
	}
	iv.Outcome, iv.Err = o, hinted(err)
	switch o {
	case pipeline.Admit:
		iv.Allowed = true
	case pipeline.Undecided:
		iv.Allowed = iv.Mode != pipeline.Enforce || t.sel.UndecidedAdmits && asked(err)
	case pipeline.Deny:
		iv.Allowed = iv.Mode != pipeline.Enforce
	default:
		iv.Outcome, iv.Allowed = pipeline.Deny, false
		iv.Err = &shuin.Error{Code: shuin.CodeInternal, Message: "the policy gave no answer"}
	}
}

// hints are what to do where whoever found the reason did not say.
var hints = map[shuin.Code]string{
	shuin.CodeUnauthorized: "log in to the registry, or renew the credential",
	shuin.CodeForbidden:    "give this credential the permission to read the repository",
	shuin.CodeNotFound:     "check the image's name, and that it was pushed",
	shuin.CodeThrottled:    "the registry limits requests: ask again later",
	shuin.CodeUnavailable:  "check that the registry answers and can be reached from here, and ask again",
	shuin.CodeDeadline:     "ask again",
	shuin.CodeNotBegun:     "ask again, and allow it more time",
	shuin.CodeLimit:        "remove what nobody needs, signatures for one, from the repository",
	shuin.CodeMalformed:    "tell who runs the registry, or what stands before it: its answers break the specification",
	shuin.CodeInternal:     "this is a fault of Shuin: please report it",
}

// hinted is err with something to do about it.
func hinted(err error) error {
	if err == nil || shuin.HintOf(err) != "" {
		return err
	}
	if h := hints[shuin.CodeOf(err)]; h != "" {
		return &shuin.Error{Code: shuin.CodeOf(err), Hint: h, Err: err}
	}
	return err
}

// exceptionOver adds to a denial that an exception would have held, and is over.
func exceptionOver(err error, e *pipeline.Exception) error {
	return &shuin.Error{
		Code: shuin.CodeOf(err), Hint: shuin.HintOf(err),
		Message: fmt.Sprintf("%s; the exception %q of %s expired on %s", err, e.Reason, e.Owner, e.Expires.UTC().Format(time.RFC3339)),
	}
}
