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

// Bounds of a report about repositories.
const (
	ReportRepositories = 1000            // named at once
	ReportConcurrency  = 8               // images asked about at a time, unless asked otherwise
	ReportConcurrent   = 64              // at most
	ReportImageTime    = 2 * time.Minute // for one image
	ReportTries        = 4               // of an image whose registry throttles or does not answer
	ReportPause        = 2 * time.Second // before all go on after that; doubled each time
	ReportPauseMost    = time.Minute     // the longest of these
	ReportSilence      = 5 * time.Minute // without any answer, before a registry is left
	ReportStateBytes   = 1 << 30         // a state file
	ReportStateLine    = 1 << 20         // what it keeps of one image
	ReportStateLife    = 24 * time.Hour  // after which a report is begun anew
)
