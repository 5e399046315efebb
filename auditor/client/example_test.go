package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/signature"
)

// Ask an auditor for the signed digest of an epoch, and check that a key that is trusted already
// made it. The auditor's own list of keys is no ground to trust one.
func Example() {
	server := httptest.NewServer(http.StripPrefix("/namespaces/example.key-transparency.v1/audits/", http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, "../../testdata/vectors/whatsapp-v1/signatures/"+r.URL.Path+".json")
		})))
	defer server.Close()

	auditor, err := client.New(client.Config{URL: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	keys, err := signature.ParseKeys([]string{"b7f8c77a605705b8a0c3f228e75ff3f43b715a7321d0cc23bd177145d659686a"})
	if err != nil {
		log.Fatal(err)
	}
	_, signed, err := auditor.Audit(context.Background(), "example.key-transparency.v1", 7)
	if errors.Is(err, client.ErrNotFound) {
		log.Fatal("not signed yet: try again later")
	} else if err != nil {
		log.Fatal(err)
	}
	if err := keys.Verify(signed); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("epoch %d: %x\n", signed.Epoch, signed.Digest[:8])
	// Output: epoch 7: 49eb36b2732d24dc
}
