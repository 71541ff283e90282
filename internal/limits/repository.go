package limits

import "time"

// Bounds on what is read of a repository beside signatures.
const (
	PlatformDepth = 4       // indexes inside indexes of one image
	Platforms     = 256     // images of one index, nested ones included
	TagsPage      = 1000    // tags asked for at once
	TagsPageBytes = 8 << 20 // one page of a tag listing
	TagsPages     = 10_000  // pages of one tag listing
	Tags          = 500_000 // tags of one repository
)

// Bounds of the cache of signature manifests and envelopes on disk.
const (
	BlobCacheBytes   = 512 << 20      // all files, unless asked otherwise
	BlobCacheFiles   = 20_000         // their number, unless asked otherwise
	BlobCacheBlob    = EnvelopeBytes  // a larger one is not kept
	BlobCacheTouched = time.Hour      // a use is noted on disk once in
	BlobCacheOrphan  = 24 * time.Hour // a file that was never finished is removed after
)

// Bounds on listing a repository through ECR's API.
const (
	ECRImagesPage = 250     // images asked for at once: with many tags each, an answer stays below AWSAnswer
	ECRImages     = 500_000 // images of one repository, and pages
)
