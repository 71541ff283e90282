// Package devregistry is a small OCI 1.1 registry inside the process, for
// `shuin dev-registry`, the demo and the tests. In its default setting it
// answers as a current registry does (OCI distribution specification 1.1: pull,
// push, content discovery, content management); its switches make it answer as
// older, stricter, slower or broken ones do, so that tests can hurt us.
//
// It will not do: production. There is no replication, no garbage collector of
// what nothing names, no quota over all repositories, and what it stores
// survives a killed process but not a failed disk.
package devregistry

import (
	"errors"
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Options configure a [Registry]. The zero value is a registry in memory, open
// to everybody, that answers as a current OCI 1.1 registry.
type Options struct {
	// Dir keeps the content on disk; empty: in memory. One process at a time
	// may use a directory.
	Dir string

	// How it speaks of referrers; at most one of the three. All three also
	// leave out OCI-Subject, as registries without the API do.

	// NoReferrers answers 404 to the referrers API.
	NoReferrers bool
	// Referrers405 answers 405 to it.
	Referrers405 bool
	// ReferrersEmpty answers it with an ordinary empty index, without any OCI header.
	ReferrersEmpty bool

	// NoSubjectHeader leaves out OCI-Subject although the referrers API works.
	NoSubjectHeader bool
	// NoFilter ignores artifactType in the referrers API.
	NoFilter bool
	// PageSize is the number of referrers in one page; 0: all in one.
	PageSize int

	// NoConditionalPut sends no ETag and ignores If-Match and If-None-Match.
	NoConditionalPut bool
	// NoDelete answers 405 to every DELETE of a manifest, tag or blob.
	NoDelete bool
	// NoSinglePost answers 202 to an upload in one POST, as registries do that
	// do not have it; the client goes on with PUT.
	NoSinglePost bool
	// Sparse accepts manifests that name blobs or manifests not pushed yet.
	Sparse bool

	// Username and Password, if set, have to be sent by everybody (401 otherwise).
	Username, Password string
	// Token makes it hand out bearer tokens for them at /token instead of taking
	// them with each request. Without Username, anybody gets a token.
	Token bool

	// Throttle answers every n-th request with 429; 0: none.
	Throttle int
	// RetryAfter is what 429 says, in whole seconds.
	RetryAfter time.Duration
	// Latency is waited before each answer.
	Latency time.Duration

	// MaxManifestBytes bounds a manifest; 0: limits.ManifestBytes.
	MaxManifestBytes int64
	// MaxBlobBytes bounds a blob; 0: limits.DevRegistryBlob.
	MaxBlobBytes int64
}

// validate reports the first reason why o cannot be used, and fills defaults.
func (o *Options) validate() error {
	modes := 0
	for _, on := range []bool{o.NoReferrers, o.Referrers405, o.ReferrersEmpty} {
		if on {
			modes++
		}
	}
	switch {
	case modes > 1:
		return errors.New("dev registry: at most one of NoReferrers, Referrers405 and ReferrersEmpty")
	case o.Username == "" && o.Password != "":
		return errors.New("dev registry: a password without a username")
	case o.PageSize < 0 || o.Throttle < 0 || o.Latency < 0 || o.RetryAfter < 0:
		return errors.New("dev registry: negative option")
	}
	if o.MaxManifestBytes <= 0 {
		o.MaxManifestBytes = limits.ManifestBytes
	}
	if o.MaxBlobBytes <= 0 {
		o.MaxBlobBytes = limits.DevRegistryBlob
	}
	return nil
}

// referrersAPI reports whether the referrers API works.
func (o *Options) referrersAPI() bool {
	return !o.NoReferrers && !o.Referrers405 && !o.ReferrersEmpty
}
