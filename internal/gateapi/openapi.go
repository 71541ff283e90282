package gateapi

import _ "embed"

// openAPI is the API's description, served as it is.
//
//go:embed openapi.json
var openAPI []byte
