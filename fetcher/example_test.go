package fetcher_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob/fileblob"
)

// Audit one epoch of a log: find its batch in the log directory, download it and verify it.
func Example() {
	ctx := context.Background()
	directory, err := fileblob.OpenBucket("../testdata/vectors/whatsapp-v1/log", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer directory.Close()
	f := fetcher.New(directory, fetcher.Options{})

	object, err := f.Locate(ctx, 7)
	if err != nil {
		log.Fatal(err)
	}
	batch, err := f.Open(ctx, object, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer batch.Close()
	result, err := validator.Verify(ctx, object.Name, batch, validator.WhatsAppV1(), validator.Options{})
	if err != nil {
		log.Fatal(err) // if fetcher.Transient(err), try again
	}
	// Only now has every stored byte been read.
	if err := batch.Finish(); err != nil {
		log.Fatal(err)
	}
	info, err := batch.Info()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("epoch %d: %s\n", object.Name.Epoch, result.Outcome)
	fmt.Printf("%d bytes, compression %s, SHA-256 %.8s…\n", info.StoredBytes, info.Compression, info.SHA256)
	// Output:
	// epoch 7: verified
	// 12247 bytes, compression none, SHA-256 5c3a45ea…
}

// An epoch that is not published yet is not an error of the log: try again later.
func ExampleFetcher_Locate() {
	directory, err := fileblob.OpenBucket("../testdata/vectors/whatsapp-v1/log", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer directory.Close()

	_, err = fetcher.New(directory, fetcher.Options{}).Locate(context.Background(), 31)
	fmt.Println(errors.Is(err, fetcher.ErrNotPublished), fetcher.Transient(err))
	fmt.Println(err)
	// Output:
	// true true
	// epoch 31: not published
}
