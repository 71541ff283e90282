// Command shuind is Shuin's server: the signer that speaks the AWS Signer API.
// It joins rooms and decides nothing: what is signed or refused is said in
// package signing.
package main

func main() {}
