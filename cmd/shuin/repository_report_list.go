package main

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
)

// What a repository lists.
const (
	listsTags   = "tags"
	listsImages = "images"
)

// imageConfigs are what ECR takes the content of images for; of indexes it
// says nothing.
var imageConfigs = []string{"", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}

// list finds the images of a repository: each distinct digest once, with its
// tags.
func (r *reporter) list(ctx context.Context, src *reportSource, out *reportedRepository) error {
	if h, ecr := awsclient.ParseECRHost(src.ref.Registry); ecr && !h.Public && r.o.username == "" && r.o.password == "" {
		err := r.listECR(ctx, h, src, out)
		if err == nil || ctx.Err() != nil || !notForUs(err) {
			return err
		}
		out.TagsOnly = oneLine(err.Error())
		r.app.warnf("%s: only tagged images are listed, without the time of their push: %s", src.ref.Name(), out.TagsOnly)
		out.Images, out.Counts = nil, reportedCounts{}
	} else if ecr && !h.Public {
		out.TagsOnly = "a user name or password was given, and ECR's own API is not asked with these"
	}
	return r.listTags(ctx, src, out)
}

// notForUs reports whether ECR's own API is closed to us: it may not be asked, or
// there is nothing to ask it with. The registry may be open all the same. What
// else goes wrong says nothing of that, and a list without untagged images
// would pass for the whole.
func notForUs(err error) bool {
	if shuin.CodeOf(err) == shuin.CodeForbidden {
		return true
	}
	_, answered := errors.AsType[*awscall.ServiceError](err)
	return shuin.CodeOf(err) == shuin.CodeUnauthorized && !answered
}

// onward lists until the end, from where it broke off, as long as it comes
// further: done counts what it has.
func (r *reporter) onward(ctx context.Context, done func() int, list func(context.Context) error) error {
	for {
		before := done()
		err := r.brake.try(ctx, list)
		if !noAnswer(err) || ctx.Err() != nil || done() == before {
			return err
		}
	}
}

// listECR asks ECR's own API, which names digests: no tag has to be resolved.
func (r *reporter) listECR(ctx context.Context, h awsclient.ECRHost, src *reportSource, out *reportedRepository) error {
	out.Listing = listsImages
	client, next, pages := r.app.awsClient(), "", map[string]bool{}
	page := func(images []awsclient.ECRImage, after string) error {
		r.brake.answered()
		if pages[after] && after != "" || len(pages) > limits.ECRImages {
			return &shuin.Error{Code: shuin.CodeMalformed, Message: "list images of " + src.ref.Repository + ": the pages turn in a circle"}
		}
		next, pages[after] = after, true
		for _, i := range images {
			tags := slices.SortedFunc(slices.Values(i.Tags), compareTags)
			if registry.IsIndex(i.MediaType) {
				tags = slices.DeleteFunc(tags, isReferrersTag)
				out.Counts.ReferrersTags += len(i.Tags) - len(tags)
			}
			if len(tags) == 0 && (len(i.Tags) > 0 || !slices.Contains(imageConfigs, i.ArtifactType)) {
				continue // a signature or another artifact that refers to an image
			}
			out.Images = append(out.Images, &reportedImage{
				Digest: i.Digest, Tags: slices.Clip(tags), MediaType: i.MediaType, Pushed: timeOrNil(i.Pushed),
			})
		}
		if len(out.Images) > limits.ECRImages {
			return &shuin.Error{Code: shuin.CodeLimit, Message: "list images of " + src.ref.Repository + ": more images than are listed (limit ECRImages)"}
		}
		return nil
	}
	return r.onward(ctx, func() int { return len(pages) }, func(ctx context.Context) error {
		return client.ECRImages(ctx, h, "", src.ref.Repository, next, page)
	})
}

// listTags lists tags and resolves each of them: the listing of the OCI
// specification names no digests.
func (r *reporter) listTags(ctx context.Context, src *reportSource, out *reportedRepository) error {
	out.Listing = listsTags
	t := &tagListing{reporter: r, src: src, out: out, seen: map[string]bool{}, byDigest: map[digest.Digest]*reportedImage{}}
	err := r.onward(ctx, func() int { return len(t.seen) }, t.list)
	for _, i := range out.Images {
		slices.SortFunc(i.Tags, compareTags)
	}
	return err
}

// tagListing is a listing of tags under way.
type tagListing struct {
	*reporter
	src  *reportSource
	out  *reportedRepository
	last string // tag that was listed
	seen map[string]bool

	mu       sync.Mutex
	byDigest map[digest.Digest]*reportedImage
}

// list goes on behind the last tag that was listed. A registry that begins
// anew instead is no harm.
func (t *tagListing) list(ctx context.Context) error {
	return t.src.repo.Tags(ctx, t.last, func(tags []string) error {
		t.brake.answered()
		var fresh []string
		for _, tag := range tags {
			if !t.seen[tag] {
				t.seen[tag], t.last = true, tag
				fresh = append(fresh, tag)
			}
		}
		t.progress.more(len(fresh))
		parallel(t.o.concurrency, fresh, func(tag string) {
			defer t.progress.one()
			if ctx.Err() == nil {
				t.add(ctx, tag)
			}
		})
		return ctx.Err()
	})
}

// add resolves a tag and takes what it names.
func (t *tagListing) add(ctx context.Context, tag string) {
	desc, err := t.resolve(ctx, t.src, tag)
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.byDigest[desc.Digest]
	switch {
	case shuin.CodeOf(err) == shuin.CodeNotFound: // it was taken off meanwhile
	case err != nil:
		t.out.Images = append(t.out.Images, &reportedImage{Tags: []string{tag}, reportedAnswer: notAsked(t.app, err)})
	case registry.IsIndex(desc.MediaType) && isReferrersTag(tag):
		t.out.Counts.ReferrersTags++
	case known != nil:
		known.Tags = append(known.Tags, tag)
	default:
		known = &reportedImage{Digest: desc.Digest, Tags: []string{tag}, MediaType: desc.MediaType, known: desc}
		t.byDigest[desc.Digest] = known
		t.out.Images = append(t.out.Images, known)
	}
}

func isReferrersTag(tag string) bool {
	_, ok := registry.ReferrersTag(tag)
	return ok
}

// resolve asks what a tag names, once for a report that is continued.
func (r *reporter) resolve(ctx context.Context, src *reportSource, tag string) (shuin.Descriptor, error) {
	if d, ok := r.state.tag(src.ref.Name(), tag); ok {
		return d, nil
	}
	ref := src.ref
	ref.Tag = tag
	var a shuin.Artifact
	err := r.brake.try(ctx, func(ctx context.Context) (err error) {
		a, err = src.repo.Resolve(ctx, ref)
		return err
	})
	if err != nil {
		return shuin.Descriptor{}, err
	}
	d := a.Descriptor()
	d.Annotations = nil
	if err := r.state.keepTag(src.ref.Name(), tag, d); err != nil {
		r.app.warnf("%s", oneLine(err.Error()))
	}
	return d, nil
}

// platforms finds out what the indexes hold. Images that have no tag of their
// own are counted with their index, unless each platform is asked for.
func (r *reporter) platforms(ctx context.Context, src *reportSource, out *reportedRepository) {
	var indexes []*reportedImage
	byDigest := map[digest.Digest]*reportedImage{}
	for _, i := range out.Images {
		if i.Digest != "" {
			byDigest[i.Digest] = i
			if registry.IsIndex(i.MediaType) {
				indexes = append(indexes, i)
			}
		}
	}
	found := make(map[digest.Digest][]shuin.Platform, len(indexes))
	var mu sync.Mutex
	r.progress.more(len(indexes))
	parallel(r.o.concurrency, indexes, func(i *reportedImage) {
		defer r.progress.one()
		p, err := r.indexOf(ctx, src, i)
		if err != nil {
			return // its answer says why, where it matters there
		}
		mu.Lock()
		defer mu.Unlock()
		found[i.Digest] = p
	})
	for _, i := range indexes {
		for _, p := range found[i.Digest] {
			d := p.Descriptor
			i.Platforms = append(i.Platforms, reportedPlatform{Platform: p.String(), Digest: d.Digest})
			child := byDigest[d.Digest]
			if child == nil {
				if !r.o.eachPlatform {
					continue
				}
				child = &reportedImage{Digest: d.Digest, MediaType: d.MediaType, known: d}
				byDigest[d.Digest] = child
				out.Images = append(out.Images, child)
			}
			if !slices.Contains(child.PlatformOf, i.Digest) {
				child.PlatformOf = append(child.PlatformOf, i.Digest)
			}
		}
	}
	if r.o.eachPlatform {
		return
	}
	out.Images = slices.DeleteFunc(out.Images, func(i *reportedImage) bool {
		part := len(i.PlatformOf) > 0 && len(i.Tags) == 0
		if part {
			out.Counts.PlatformImages++
		}
		return part
	})
}

// indexOf is what the index holds.
func (r *reporter) indexOf(ctx context.Context, src *reportSource, i *reportedImage) ([]shuin.Platform, error) {
	ref := src.ref
	ref.Digest = i.Digest
	if i.known.Digest == "" {
		err := r.brake.try(ctx, func(ctx context.Context) error {
			a, err := src.repo.Resolve(ctx, ref)
			if err == nil {
				i.known = a.Descriptor()
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	a, err := shuin.NewArtifact(ref, i.known)
	if err != nil {
		return nil, err
	}
	var p []shuin.Platform
	err = r.brake.try(ctx, func(ctx context.Context) (err error) {
		p, err = src.Platforms(ctx, a)
		return err
	})
	return p, err
}

// parallel calls f for each, n at a time, and waits.
func parallel[T any](n int, each []T, f func(T)) {
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for _, x := range each {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(x)
		})
	}
	wg.Wait()
}

// noAnswer reports whether the registry gave none: it throttles, or cannot be
// reached.
func noAnswer(err error) bool {
	c := shuin.CodeOf(err)
	return err != nil && (c == shuin.CodeThrottled || c == shuin.CodeUnavailable) && !errors.Is(err, errLeft)
}
