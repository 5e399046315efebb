//go:build js && wasm

// Command wasm is package check for browsers. It gives page/assets/check-worker.js the function
// ktauditCheck, which takes {proof: …} or {batch: …} and returns a check.Report as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall/js"

	"github.com/ktaudit/ktaudit/page/check"
)

func main() {
	js.Global().Set("ktauditCheck", js.FuncOf(func(_ js.Value, args []js.Value) any {
		answer, err := json.Marshal(ask(args[0]))
		if err != nil {
			panic(err)
		}
		return string(answer)
	}))
	js.Global().Call("ktauditReady")
	select {} // until the page is left
}

// ask answers a question. Whatever goes wrong is said to be no result.
func ask(question js.Value) (r check.Report) {
	defer func() {
		if p := recover(); p != nil {
			r = check.Report{Outcome: check.Unclear, Summary: fmt.Sprintf("Nothing was checked: the checker failed: %v.", p)}
		}
	}()
	if p := question.Get("proof"); p.Truthy() {
		return check.Proof{
			Namespace: p.Get("namespace").String(), Epoch: uint64(p.Get("epoch").Float()),
			Verdict: bytesOf(p.Get("verdict")), File: bytesOf(p.Get("proof")),
			Log: p.Get("log").String(), Witnesses: p.Get("witnesses").String(), Require: p.Get("require").Int(),
		}.Check()
	}
	b := question.Get("batch")
	return check.Batch{
		Name: b.Get("name").String(), Configuration: b.Get("configuration").String(), Bytes: bytesOf(b.Get("bytes")),
	}.Check(context.Background())
}

// bytesOf copies a Uint8Array.
func bytesOf(v js.Value) []byte {
	b := make([]byte, v.Get("length").Int())
	js.CopyBytesToGo(b, v)
	return b
}
