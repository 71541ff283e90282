// Package limits holds the upper bounds on what comes from outside, so that a
// reviewer sees them in one place. (Sizes that a format itself fixes stand
// where the format is read.) A bound that is hit is an error that names it; it
// is never silently cut.
package limits

import "time"

// Bounds on what a registry sends.
const (
	ManifestBytes   = 4 << 20  // a manifest or index that is resolved, a referrers index that is written
	EnvelopeBytes   = 10 << 20 // a signature envelope
	ReferrersBytes  = 8 << 20  // one page of a referrers answer
	ReferrersPages  = 100      // pages of one referrers answer
	Referrers       = 10_000   // signatures listed for one artifact
	Signatures      = 100      // signatures verified for one artifact unless asked otherwise
	FetchesInFlight = 32       // concurrent fetches for one artifact
	LooksInFlight   = 4        // manifests of one pushed list that are looked at together, of SignatureManifestBytes each at most
	ChecksInVain    = 8        // signature checks for one artifact that led to nothing, for each signature it may have
	ErrorBodyBytes  = 8 << 10  // of a registry's error answer

	SignatureManifestBytes  = 256 << 10 // one signature manifest
	SignatureManifestsBytes = 32 << 20  // all signature manifests fetched for one artifact
	ReferrersTotalBytes     = 32 << 20  // all pages of one referrers answer
	AnnotationBytes         = 4 << 10   // an annotation of a listing or signature manifest that is used
	RegistryHeaderBytes     = 256 << 10 // the header of one answer
)

// Bounds on talking to a registry.
const (
	RegistryRequestTime = time.Minute      // one request, its retries and its body
	SignaturesTime      = 3 * time.Minute  // listing and fetching the signatures of one artifact, together
	RegistryRetries     = 3                // of one request after 429, 5xx or a broken connection
	RegistryRetryAfter  = 10 * time.Second // longest wait between two tries; a longer Retry-After is not waited for
	RegistryRedirects   = 5
	SignaturesBytes     = 64 << 20         // all envelopes fetched for one artifact
	ReferrersIndexTime  = 30 * time.Second // until an entry in a fallback index has to be settled
	LayoutManifests     = 10_000           // manifests read of one OCI layout
	LayoutDepth         = 4                // indexes inside indexes of one OCI layout
	HelperOutput        = 64 << 10         // of a credential helper
	HelperTime          = 30 * time.Second // of a credential helper, which may ask the user
)

// Bounds on envelopes and certificates.
const (
	PayloadBytes       = 1 << 20
	ChainLength        = 16       // certificates in one chain
	CertificateBytes   = 64 << 10 // one DER certificate
	TimestampBytes     = 1 << 20  // a timestamp token
	ExtendedAttributes = 64
	HeaderBytes        = 256 << 10 // a protected header; unprotected members nobody knows
	RSABits            = 8192      // an RSA key in a chain: bounds the work of one signature check
	RSAExponent        = 65537     // its public exponent, for the same reason
	Annotations        = 1000      // of a signed payload
	JSONDepth          = 32
	CBORDepth          = 16
	ChainCacheEntries  = 4096 // verified chains and issuing paths remembered, unless asked otherwise
)

// Bounds on files.
const (
	PolicyBytes     = 1 << 20  // a trust policy document
	ConfigBytes     = 4 << 20  // config.json, signingkeys.json
	TrustStoreFile  = 1 << 20  // one certificate file
	TrustStoreFiles = 1000     // files in one trust store
	KeyFileBytes    = 1 << 20  // a private key or certificate file
	SecretBytes     = 64 << 10 // a password or token from stdin or a file
)

// Bounds on revocation and timestamping.
const (
	CRLBytes       = 32 << 20
	OCSPBytes      = 64 << 10
	TSAResponse    = 1 << 20
	OCSPTimeout    = 2 * time.Second  // per responder (REV-04)
	CRLTimeout     = 5 * time.Second  // per distribution point (REV-02)
	TSATimeout     = 15 * time.Second // per request
	TSAAccuracy    = 24 * time.Hour   // that a timestamp may state
	ClockSkew      = 5 * time.Minute  // that another's clock may be ahead of ours
	RevocationURLs = 8                // responders or distribution points tried per certificate
	CRLCacheFile   = 96 << 20         // one cache file (base64 of base and delta)
	CRLAlone       = 1 << 20          // a larger CRL is parsed alone where it is parsed whole: in memory it takes up to fifty times its size
	CRLHead        = 64 << 10         // a CRL without its entries
	CRLEntry       = 64 << 10         // one entry of it, all about one certificate, and what of them is parsed at a time

	FetchRedirects   = 3       // of one request
	FetchSmall       = 1 << 20 // of an answer, read whoever else is read from
	FetchHeaderBytes = 64 << 10
	FetchDial        = 5 * time.Second // to connect, and again for TLS
	FetchValidators  = 1 << 10         // of an answer, ETag and Last-Modified

	CRLSoftRefresh  = 2 * time.Second  // to fetch anew a CRL that is still good
	CRLSoftPause    = time.Minute      // after a failure of that, before trying again
	CRLMemory       = 64 << 20         // that CRLs kept in memory take; one that does not fit serves the decision at hand
	CRLDisk         = 256 << 20        // that a server's CRLs take on disk; one of more than an eighth is not written
	CRLLarge        = FetchSmall       // a CRL of more is fetched and read only while there is room
	CRLLargeAt      = 2                // fetches of such at a time
	OCSPMemory      = 1024             // OCSP responses kept in memory
	OCSPMemoryLife  = time.Hour        // at most, and never beyond nextUpdate
	RevocationGroup = 30 * time.Second // a fetch that several callers share

	RevocationFollowed  = 2048             // certificates, and signatures of AWS Signer, whose revocation is looked at between decisions
	RevocationLook      = 32               // requests of one such look
	RevocationLookAt    = 8                // of them at a time
	RevocationLookTime  = 30 * time.Second // all of them
	RevocationLookLeast = 30 * time.Second // between two looks at one address
	RevocationLookRate  = 16 << 10         // bytes a second of one list that is fetched again and again, on the average
	RevocationTurn      = time.Minute      // after it was told that something was revoked or is good again, until the contrary is; doubled each time
	RevocationTurnMost  = 24 * time.Hour   // the longest of these, and what has been quiet for as long begins anew

	// SignerStatusLife is how long AWS Signer's answer about a signature counts,
	// which names no end itself: with the time it was held, a quarter of an hour.
	SignerStatusLife = 15*time.Minute - SignerStatusHeld
)

// Bounds on plugins.
const (
	PluginOutput       = 64 << 20  // each of stdout and stderr (PLG-04)
	PluginBinary       = 256 << 20 // one plugin package, and all files in it (PLG-02)
	PluginMetadataTime = 10 * time.Second
	PluginCommandTime  = 10 * time.Minute
)

// Bounds of calls to AWS.
const (
	AWSAnswer        = 1 << 20          // one answer of AWS Signer, or of ECR's token call
	AWSAttemptTime   = 20 * time.Second // one attempt, to the end of its answer
	AWSCallTime      = 60 * time.Second // one call with its repetitions
	AWSTries         = 3                // of a call of AWS; those to AWS Signer follow the user's AWS settings
	AWSListed        = 100_000          // profiles, jobs or permissions listed by one command
	AWSErrorRunes    = 2000             // of an error text passed through
	SignerStatuses   = 4096             // revocation statuses remembered in one process
	SignerStatusHeld = time.Minute      // how long
	SignerDownHeld   = 5 * time.Second  // a signer that could not be asked is not asked again for
	ECRTokenUnknown  = 5 * time.Minute  // how long a token is used that does not say how long it is good
	ECRTokenAgain    = time.Minute      // between two tokens asked for because the first was refused
)

// Bounds of the dev registry.
const (
	DevRegistryBlob    = 1 << 30 // one blob
	DevRegistryUploads = 1000    // uploads begun and not finished
	DevRegistryTokens  = 10_000  // bearer tokens handed out and not expired
	DevRegistryLog     = 200_000 // requests in the log; the older half goes first
)

// Bounds of the signer's log.
const (
	LogLeafBytes   = 32 << 10 // the encoding of one entry
	LogOriginBytes = 200      // the log's name in checkpoints
	CommitGroup    = 256      // updates of the store that share one commit
)

// How much memory the server's garbage collector may use so as to run less
// often: what is alive at a time is a few megabytes, and collecting whenever
// that has doubled costs a tenth of a signature's processor time. Near
// GCMemory it collects as often as it takes.
const (
	GCPercent = 800       // debug.SetGCPercent
	GCMemory  = 256 << 20 // debug.SetMemoryLimit
)

// Bounds of the server's front: what one connection and all together may take.
const (
	ServerHeaderTime    = 10 * time.Second // to send a request's header
	ServerReadTime      = 30 * time.Second // to send a whole request
	ServerWriteTime     = time.Minute      // to take the answer, from the header on
	ServerIdleTime      = 2 * time.Minute  // between two requests of a connection
	ServerConnections   = 1024             // at a time, unless the configuration says otherwise
	ServerShutdownTime  = 20 * time.Second // for requests under way when the server ends
	ServerNameProbe     = 3 * time.Second  // to ask for one of its own names
	ServerReadyInterval = 5 * time.Second  // one look at readiness serves all who ask meanwhile
	ServerReadyTime     = 5 * time.Second  // to find out whether the store takes writes

	CRLReads    = 2                // CRLs that the server reads at a time for those who ask; its database answers four
	CRLFlights  = 1024             // CRLs that are asked for at a time and have to be read
	CRLReadTime = 10 * time.Second // for one of them, waiting included
	CRLNumbers  = 1 << 16          // CRLs whose newest number the server remembers

	CRLLife     = 24 * time.Hour // of a signer's CRL, unless the configuration says otherwise
	CRLRefresh  = time.Hour      // after which it is made anew
	LeafLife    = 24 * time.Hour // of the certificate that signatures of an aws profile share
	CRLLifeMax  = 30 * 24 * time.Hour
	LeafLifeMax = 31 * 24 * time.Hour
	ServerRate  = 100_000 // the highest rate that can be configured
)

// Bounds of the signing API.
const (
	SigV4Authorization   = 8 << 10 // an Authorization header
	SigV4SignedHeaders   = 64      // headers that one signature covers
	SigV4QueryParameters = 1024    // of a signed request

	APIHeaderBytes  = 64 << 10         // all headers of one request and its first line
	APIBodyBytes    = 128 << 10        // a request's body
	APIBodyTime     = 10 * time.Second // until a body has arrived
	APIInFlight     = 1024             // requests at once
	APIClockSkew    = 5 * time.Minute  // that a request's date may differ from ours
	APIReplays      = 1 << 20          // signatures of changes remembered within that skew
	APIReads        = 1 << 18          // signatures of reads remembered; the oldest go first
	APIBodies       = 1024             // request bodies awaited at once
	APIBodiesShare  = 256              // of them from one address
	APIPrincipals   = 10_000           // whose rates are remembered
	APIRate         = 100              // requests per second of one principal, unless asked otherwise
	APIBurst        = 200              // of them at once
	APIInvocationID = 128              // bytes of an SDK's invocation id
	APIEchoBytes    = 100              // of a wrong value, in an error's text
)
