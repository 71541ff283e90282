package main

import (
	"context"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/verify"
)

// clients are the repositories of registries, with the gate's own credentials
// and those that Pods bring.
type clients struct {
	client *registry.Client
	pull   *pulled                  // nil: there are no others
	nobody func(host string) string // says why a registry is asked for nobody; nil: nobody knows
}

// Open opens a repository.
func (s *clients) Open(access string, ref shuin.Reference) (gate.Source, error) {
	if access != "" {
		if s.pull == nil {
			return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "this server has no credentials but its own"}
		}
		source, err := s.pull.open(access, ref)
		if err != nil || source != nil {
			return source, err
		}
	}
	repo, err := s.client.Repository(ref)
	if err != nil {
		return nil, err
	}
	if s.nobody != nil {
		return asNobody{repo, func() string { return s.nobody(ref.Registry) }}, nil
	}
	return repo, nil
}

// pulled opens repositories with the credentials that Pods bring. A client for
// each credential is kept, with the tokens that it was given: nothing of it is
// ever used for another credential. Safe for concurrent use.
type pulled struct {
	secrets *kube.PullSecrets
	own     *registry.Client // whose connections are shared, and no credentials

	mu      sync.Mutex
	clients map[pulledKey]*registry.Client
}

type pulledKey struct {
	access, host string
	credential   kube.Credential
}

func newPulled(secrets *kube.PullSecrets, own *registry.Client) *pulled {
	return &pulled{secrets: secrets, own: own, clients: map[pulledKey]*registry.Client{}}
}

// open opens a repository with the credentials of an access; nil where the
// access has none for it, and the gate's own count.
func (p *pulled) open(access string, ref shuin.Reference) (gate.Source, error) {
	list, err := p.secrets.Credentials(access, ref.Registry, ref.Repository)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var all inTurn
	for _, c := range list[:min(len(list), limits.KubeCredentialsTried)] {
		repo, err := p.client(access, ref.Registry, c).Repository(ref)
		if err != nil {
			return nil, err
		}
		all = append(all, repo)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// client is the client with that credential.
func (p *pulled) client(access, host string, c kube.Credential) *registry.Client {
	key := pulledKey{access, host, c}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.clients[key]; have != nil {
		return have
	}
	if len(p.clients) >= limits.KubeRegistryClients {
		clear(p.clients) // those in use go on; the next ask for tokens anew
	}
	made := &registry.Client{
		Credential: registry.StaticCredential(host, registry.NewCredential(c.Username, c.Password)),
		PlainHTTP:  p.own.PlainHTTP, HTTP: p.own.HTTP, UserAgent: p.own.UserAgent, Warn: p.own.Warn, Blobs: p.own.Blobs,
	}
	p.clients[key] = made
	return made
}

// inTurn is a repository that several credentials may be for: the next is tried
// where the registry refuses one, as the kubelet does.
type inTurn []gate.Source

// turns asks one source after another, until one is not refused.
func turns[T any](all inTurn, ask func(gate.Source) (T, error)) (out T, err error) {
	for _, s := range all {
		out, err = ask(s)
		if c := shuin.CodeOf(err); c != shuin.CodeUnauthorized && c != shuin.CodeForbidden {
			return out, err
		}
	}
	return out, err
}

func (t inTurn) Signatures(ctx context.Context, a shuin.Artifact, most int) ([]shuin.Signature, bool, error) {
	type result struct {
		found []shuin.Signature
		more  bool
	}
	r, err := turns(t, func(s gate.Source) (result, error) {
		found, more, err := s.Signatures(ctx, a, most)
		return result{found, more}, err
	})
	return r.found, r.more, err
}

func (t inTurn) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	return turns(t, func(s gate.Source) (shuin.Artifact, error) { return s.Resolve(ctx, ref) })
}

func (t inTurn) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	type result struct {
		artifact shuin.Artifact
		sigs     verify.Signatures
	}
	r, err := turns(t, func(s gate.Source) (result, error) {
		artifact, sigs, err := s.Discover(ctx, ref)
		return result{artifact, sigs}, err
	})
	return r.artifact, r.sigs, err
}

func (t inTurn) Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	return turns(t, func(s gate.Source) ([]shuin.Platform, error) { return s.Platforms(ctx, a) })
}

// cloudTokens ask one cloud after another: a host is at most one's.
type cloudTokens []registry.Tokens

// RegistryToken is registry.Tokens'.
func (t cloudTokens) RegistryToken(ctx context.Context, host string, pushes bool) (username, password string, until time.Time, ok bool, err error) {
	for _, one := range t {
		if username, password, until, ok, err = one.RegistryToken(ctx, host, pushes); ok || err != nil {
			return username, password, until, ok, err
		}
	}
	return "", "", time.Time{}, false, nil
}

// DropRegistryToken is registry.Tokens'.
func (t cloudTokens) DropRegistryToken(host string) bool {
	for _, one := range t {
		if one.DropRegistryToken(host) {
			return true
		}
	}
	return false
}
