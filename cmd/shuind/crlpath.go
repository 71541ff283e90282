package main

// crlPath is where the API's address serves CRLs.
const crlPath = "/crl"
