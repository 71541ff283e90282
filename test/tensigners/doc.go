// Package tensigners holds one end-to-end test: ten processes that sign the
// same image at once against registries without a referrers API.
package tensigners
