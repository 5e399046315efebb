package signature_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob/fileblob"
)

// Verify the signed digest of an epoch, as a source serves it: parse it, check that a trusted key
// signed it, and check that it is about the digest that the log published.
func Example() {
	bucket, err := fileblob.OpenBucket("../testdata/vectors/whatsapp-v1/signatures", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bucket.Close()
	keys, err := signature.ParseKeys([]string{"b7f8c77a605705b8a0c3f228e75ff3f43b715a7321d0cc23bd177145d659686a"})
	if err != nil {
		log.Fatal(err)
	}

	data, _, err := signature.BucketSource{Bucket: bucket}.Get(context.Background(), 7)
	if errors.Is(err, signature.ErrNotFound) {
		log.Fatal("not signed yet: try again later")
	} else if err != nil {
		log.Fatal(err)
	}
	signed, err := signature.Parse(data)
	if err != nil {
		log.Fatal(err)
	}
	if err := keys.Verify(signed); err != nil {
		log.Fatal(err)
	}
	published, err := validator.ParseDigest("49eb36b2732d24dccd26c56aa99debe755488e05d2844deda0989b2932572f2d")
	if err != nil {
		log.Fatal(err)
	}
	if err := signature.Check(signed, "example.key-transparency.v1", 7, published); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("epoch %d is signed by key %d\n", signed.Epoch, signed.KeyID)

	err = signature.Check(signed, "example.key-transparency.v1", 8, published)
	fmt.Println(errors.Is(err, signature.ErrMismatch), err)
	// Output:
	// epoch 7 is signed by key 106
	// true signed digest is for another namespace or epoch: epoch is 7, want 8
}

// Sign the digest of an epoch, and write the JSON form that auditors publish.
func ExampleSignedDigest_MarshalJSON() {
	// The key of a test: a real one is secret and random.
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	s, err := signature.Sign(key, signature.CiphersuiteBincode, "n", 1, 2, [32]byte{})
	if err != nil {
		log.Fatal(err)
	}
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(b))
	// Output:
	// {
	//  "version": 2,
	//  "ciphersuite": 2,
	//  "namespace": "n",
	//  "timestamp": 1,
	//  "epoch": 2,
	//  "digest": "0000000000000000000000000000000000000000000000000000000000000000",
	//  "signature": "d55cc103619d48b451e78f27f34a3be1429018e1be31f6166d7efb5a8a4fac49013d919624c1b2c0c57b73fef73804d8f7d3c8fd8974fad4fb086303f4659300",
	//  "key_id": 92,
	//  "serialized_message": "0200000001000000000000006e0100000000000000020000000000000020000000000000000000000000000000000000000000000000000000000000000000000000000000"
	// }
}
