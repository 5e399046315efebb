// Package client speaks to a remote auditor's API: Cloudflare's, ktaudit's, or another that the
// published client plexi reads.
//
// What an auditor answers is hostile until it was checked: answers are bounded, and nothing here
// believes them. Which keys are trusted, and what a statement means, is left to the caller.
package client
