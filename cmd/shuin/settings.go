package main

// settings is what config.json says of the command line's own defaults.
type settings struct {
	signatureFormat    string
	insecureRegistries []string
}
