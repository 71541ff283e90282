package main

import (
	"path/filepath"

	"github.com/shuin/shuin/internal/blobcache"
	"github.com/shuin/shuin/internal/registry"
)

// blobCacheDir is below the cache directory.
const blobCacheDir = "shuin-blobs"

// blobs keeps signature manifests and envelopes on disk between commands; nil
// where there is no cache directory. They are public to whoever runs this
// program, and named by a registry's listing each time they are used.
func (a *app) blobs() registry.Blobs {
	if a.cacheRoot() == "" {
		return nil
	}
	c, err := blobcache.Open(filepath.Join(a.cacheRoot(), blobCacheDir), blobcache.Options{
		Now: a.now, Warn: func(err error) { a.warnf("%s", oneLine(err.Error())) },
	})
	if err != nil {
		a.warnf("signatures are not kept: %s", oneLine(err.Error()))
		return nil
	}
	return c
}
