// Package blobcache keeps signature manifests and envelopes on disk by their
// digest. What it gives back is checked against that digest; a damaged or
// foreign file is as good as none. It is bounded and may be deleted at any
// time. It never holds image layers, and trusts nothing it reads.
package blobcache
