// Package check is "check it yourself" of the public page: it takes what a reader has and says in
// plain words what was found.
//
// It promises that its checks are those of the rest of ktaudit, since it is the same code: page/
// check/wasm makes it a program for browsers, which `go generate` builds into page/assets. It does
// no I/O. How it is shown is left to page/assets/page.js.
package check
