// Command shuind is Shuin's server: the signer that speaks the AWS Signer API.
package main

func main() {}
