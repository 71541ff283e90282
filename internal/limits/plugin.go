package limits

import "time"

// Bounds on installing plugins. What a package and its content may take is
// PluginBinary: each has to stay below it.
const (
	PluginFiles        = 10_000           // entries of one package, of whatever kind
	PluginDirectory    = 4 << 20          // bytes of a zip's list of entries
	PluginUnpacked     = 64 << 20         // beyond PluginBinary, all that a tar.gz unpacks to: headers, and what is passed over
	PluginNameShown    = 1000             // bytes of an entry's name in an error
	PluginSkipped      = 20               // entries named that were left out
	PluginDownloadTime = 10 * time.Minute // one package, redirects included
	PluginsAsked       = 8                // plugins that are asked for their metadata at a time

	DownloadRedirects   = 10
	DownloadHeaderBytes = 64 << 10
	DownloadDial        = 30 * time.Second // to connect, again for TLS, and until an answer begins
)
