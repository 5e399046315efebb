package fetcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
)

var (
	digestA = strings.Repeat("a0", 32)
	digestB = strings.Repeat("b1", 32)
	digestC = strings.Repeat("c2", 32)
)

// key returns a well-formed batch name.
func key(epoch int, previous, digest string) string {
	return fmt.Sprintf("%d/%s/%s", epoch, previous, digest)
}

func TestLocate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		objects map[string]string
		want    string // key
		err     error
		equal   []string // keys of an EquivocationError
		stray   string   // key of a NameError, or of what lies beside the wanted one
	}{
		"nothing":                {err: ErrNotPublished},
		"one":                    {objects: map[string]string{key(1, digestA, digestB): "x"}, want: key(1, digestA, digestB)},
		"empty":                  {objects: map[string]string{key(1, digestA, digestB): ""}, want: key(1, digestA, digestB)},
		"zstd":                   {objects: map[string]string{key(1, digestA, digestB) + ".zst": "x"}, want: key(1, digestA, digestB) + ".zst"},
		"other epoch's":          {objects: map[string]string{key(10, digestA, digestB): "x", key(11, digestA, digestB): "x"}, err: ErrNotPublished},
		"other epochs beside it": {objects: map[string]string{key(10, digestA, digestB): "x", key(1, digestB, digestC): "x"}, want: key(1, digestB, digestC)},
		"two digests": {
			objects: map[string]string{key(1, digestA, digestC): "x", key(1, digestA, digestB): "x"},
			equal:   []string{key(1, digestA, digestB), key(1, digestA, digestC)},
		},
		"two previous digests": {
			objects: map[string]string{key(1, digestA, digestC): "x", key(1, digestB, digestC): "x"},
			equal:   []string{key(1, digestA, digestC), key(1, digestB, digestC)},
		},
		"two digests, one compressed": {
			objects: map[string]string{key(1, digestA, digestC): "x", key(1, digestA, digestB) + ".gz": "x"},
			equal:   []string{key(1, digestA, digestB) + ".gz", key(1, digestA, digestC)},
		},
		"two digests and a stray": {
			objects: map[string]string{key(1, digestA, digestC): "x", key(1, digestA, digestB): "x", "1/README": "x"},
			equal:   []string{key(1, digestA, digestB), key(1, digestA, digestC)},
		},
		"two compressions": {
			objects: map[string]string{key(1, digestA, digestB) + ".zst": "x", key(1, digestA, digestB) + ".gz": "x"},
			want:    key(1, digestA, digestB) + ".gz",
		},
		"compressed beside raw": {
			objects: map[string]string{key(1, digestA, digestB) + ".zst": "x", key(1, digestA, digestB): "x"},
			want:    key(1, digestA, digestB),
		},
		"folders": {
			objects: map[string]string{"1/": "", "1/" + digestA + "/": "", key(1, digestA, digestB): "x"},
			want:    key(1, digestA, digestB),
		},
		"folders only":           {objects: map[string]string{"1/": "", "1/" + digestA + "/": ""}, err: ErrNotPublished},
		"folder with content":    {objects: map[string]string{"1/": "x"}, stray: "1/"},
		"folder below the batch": {objects: map[string]string{key(1, digestA, digestB) + "/": ""}, stray: key(1, digestA, digestB) + "/"},
		"folder of another name": {objects: map[string]string{"1/x/": ""}, stray: "1/x/"},
		// What the akd crate reads as a batch's name.
		"upper case, other digests": {
			objects: map[string]string{key(1, digestA, digestB): "x", key(1, digestA, strings.ToUpper(digestC)): "x"},
			equal:   []string{key(1, digestA, strings.ToUpper(digestC)), key(1, digestA, digestB)},
		},
		"upper case, compressed": {
			objects: map[string]string{key(1, digestA, digestB): "x", key(1, digestA, strings.ToUpper(digestC)) + ".zst": "x"},
			equal:   []string{key(1, digestA, strings.ToUpper(digestC)) + ".zst", key(1, digestA, digestB)},
		},
		"further parts, other digests": {
			objects: map[string]string{key(1, digestA, digestB): "x", key(1, digestA, digestC) + "/more.gz/x": "x"},
			equal:   []string{key(1, digestA, digestB), key(1, digestA, digestC) + "/more.gz/x"},
		},
		"two that are misnamed": {
			objects: map[string]string{key(1, digestA, digestB) + "/": "x", key(1, digestA, digestC) + "/": "x"},
			equal:   []string{key(1, digestA, digestB) + "/", key(1, digestA, digestC) + "/"},
		},
		"upper case, same digests": {
			objects: map[string]string{key(1, digestA, digestB): "x", key(1, digestA, strings.ToUpper(digestB)): "x"},
			want:    key(1, digestA, digestB), stray: key(1, digestA, strings.ToUpper(digestB)),
		},
		"further parts, same digests": {
			objects: map[string]string{key(1, digestA, digestB) + ".gz": "x", key(1, digestA, digestB) + "/x": "x"},
			want:    key(1, digestA, digestB) + ".gz", stray: key(1, digestA, digestB) + "/x",
		},
		"further parts alone":    {objects: map[string]string{key(1, digestA, digestB) + "/x": "x"}, stray: key(1, digestA, digestB) + "/x"},
		"prefix 0x":              {objects: map[string]string{key(1, digestA, digestB): "x", key(1, "0x"+digestA, digestC): "x"}, want: key(1, digestA, digestB), stray: key(1, "0x"+digestA, digestC)},
		"a space":                {objects: map[string]string{key(1, digestA, digestB): "x", key(1, digestA, digestC) + " ": "x"}, want: key(1, digestA, digestB), stray: key(1, digestA, digestC) + " "},
		"upload only":            {objects: map[string]string{key(1, digestA, digestB) + ".18fa03.tmp": "x"}, err: ErrNotPublished},
		"upload of a compressed": {objects: map[string]string{key(1, digestA, digestB) + ".zst.18fa03.tmp": "x"}, err: ErrNotPublished},
		"not quite an upload":    {objects: map[string]string{key(1, digestA, digestB) + ".other.tmp": "x"}, stray: key(1, digestA, digestB) + ".other.tmp"},
		"upper case":             {objects: map[string]string{key(1, digestA, strings.ToUpper(digestB)): "x"}, stray: key(1, digestA, strings.ToUpper(digestB))},
		"short digest":           {objects: map[string]string{key(1, digestA, digestB[1:]): "x"}, stray: key(1, digestA, digestB[1:])},
		"unknown extension":      {objects: map[string]string{key(1, digestA, digestB) + ".bz2": "x"}, stray: key(1, digestA, digestB) + ".bz2"},
		"two extensions":         {objects: map[string]string{key(1, digestA, digestB) + ".gz.zst": "x"}, stray: key(1, digestA, digestB) + ".gz.zst"},
		"a stray beside it":      {objects: map[string]string{key(1, digestA, digestB): "x", "1/README": "x"}, want: key(1, digestA, digestB), stray: "1/README"},
		"a file manager's":       {objects: map[string]string{key(1, digestA, digestB): "x", "1/.DS_Store": ""}, want: key(1, digestA, digestB), stray: "1/.DS_Store"},
		"a checksum beside it": {
			objects: map[string]string{key(1, digestA, digestB): "x", key(1, digestA, digestB) + ".sha256": "x"},
			want:    key(1, digestA, digestB), stray: key(1, digestA, digestB) + ".sha256",
		},
		"on its way by rsync": {objects: map[string]string{"1/" + digestA + "/." + digestB + ".Xy12Zw": "x"}, stray: "1/" + digestA + "/." + digestB + ".Xy12Zw"},
		"strays only":         {objects: map[string]string{"1/.DS_Store": "", "1/README": "x"}, stray: "1/.DS_Store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := memblob.OpenBucket(nil)
			t.Cleanup(func() { _ = bucket.Close() })
			for key, content := range test.objects {
				if err := bucket.WriteAll(t.Context(), key, []byte(content), nil); err != nil {
					t.Fatal(err)
				}
			}
			object, err := New(bucket, Options{}).Locate(t.Context(), 1)
			switch {
			case test.want != "":
				if err != nil || object.Key != test.want || object.Size != int64(len(test.objects[test.want])) ||
					object.Name.String()+object.Extension != test.want || object.ModTime.IsZero() || strings.Join(object.Strays.Names, "") != test.stray {
					t.Errorf("got %+v, %v; want %s", object, err, test.want)
				}
			case test.equal != nil:
				e, ok := errors.AsType[*EquivocationError](err)
				if !ok || e.Epoch != 1 || !slices.Equal(e.Keys, test.equal) || e.More != 0 || Transient(err) {
					t.Errorf("got %v, want an equivocation of %v", err, test.equal)
				}
			case test.stray != "":
				e, ok := errors.AsType[*NameError](err)
				if !ok || e.Epoch != 1 || e.Key != test.stray || e.Err == nil || e.ModTime.IsZero() || Transient(err) {
					t.Errorf("got %v, want a name error for %s", err, test.stray)
				}
			case !errors.Is(err, test.err) || !Transient(err) || !strings.Contains(err.Error(), "epoch 1:"):
				t.Errorf("got %v, want %v", err, test.err)
			}
		})
	}
}

// A local log directory lists a file under its final name only; what is being written beside it is
// not yet published.
func TestLocateWhileBeingWritten(t *testing.T) {
	t.Parallel()
	bucket, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	f := New(bucket, Options{})
	w, err := bucket.NewWriter(t.Context(), key(7, digestA, digestB)+".zst", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Locate(t.Context(), 7); !errors.Is(err, ErrNotPublished) {
		t.Errorf("while it is written: got %v, want ErrNotPublished", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if object, err := f.Locate(t.Context(), 7); err != nil || object.Size != 1<<20 {
		t.Errorf("once it is written: got %+v, %v", object, err)
	}
}

// listed returns n objects of an epoch, each under its own name.
func listed(n int, name func(i int) string) (objects []*driver.ListObject) {
	for i := range n {
		objects = append(objects, &driver.ListObject{Key: name(i), Size: 1})
	}
	return objects
}

// What a log lists under an epoch costs a bounded number of requests, and becomes evidence of a
// bounded size.
func TestHostileListing(t *testing.T) {
	t.Parallel()
	equivocal := func(i int) string { return key(1, digestA, fmt.Sprintf("%064x", i)) }
	for name, test := range map[string]struct {
		list     func(page int) ([]*driver.ListObject, bool, error)
		requests int
		check    func(error) bool
	}{
		"a million batches": {
			list:     func(int) ([]*driver.ListObject, bool, error) { return listed(1000, equivocal), true, nil },
			requests: 1,
			check: func(err error) bool {
				e, ok := errors.AsType[*EquivocationError](err)
				return ok && len(e.Keys) == 100 && e.More == 900 && strings.Contains(err.Error(), "and 996 more") && len(err.Error()) < 1000
			},
		},
		"pages longer than asked for": {
			list:     func(int) ([]*driver.ListObject, bool, error) { return listed(5000, equivocal), true, nil },
			requests: 1,
			check: func(err error) bool {
				e, ok := errors.AsType[*EquivocationError](err)
				return ok && len(e.Keys) == 100 && e.More == 4900
			},
		},
		"a million folders": {
			list: func(int) ([]*driver.ListObject, bool, error) {
				objects := listed(1000, func(i int) string { return fmt.Sprintf("1/%064x/", i) })
				for _, o := range objects {
					o.Size = 0
				}
				return objects, true, nil
			},
			requests: 10,
			check: func(err error) bool {
				return errors.Is(err, ErrCrowded) && Transient(err) && strings.Contains(err.Error(), "more than 10000 objects")
			},
		},
		"a second batch behind thousands of other objects": {
			list: func(page int) ([]*driver.ListObject, bool, error) {
				switch page {
				case 1:
					return listed(1000, func(i int) string { return key(1, digestA, digestB) + []string{"", "/x"}[min(i, 1)] }), true, nil
				case 6:
					return listed(1, func(int) string { return key(1, digestB, strings.ToUpper(digestC)) }), false, nil
				}
				return listed(1000, func(i int) string { return fmt.Sprintf("1/a/%d/%d", page, i) }), true, nil
			},
			requests: 6,
			check: func(err error) bool {
				e, ok := errors.AsType[*EquivocationError](err)
				return ok && slices.Contains(e.Keys, key(1, digestB, strings.ToUpper(digestC))) &&
					slices.Contains(e.Keys, key(1, digestA, digestB)) && len(e.Strays.Names)+e.Strays.More >= 4000
			},
		},
		"many keys of one name around the only one of another": {
			list: func(int) ([]*driver.ListObject, bool, error) {
				after := func(i int) string { return fmt.Sprintf("%s/%d", key(1, digestC, digestB), i) }
				before := func(i int) string { return fmt.Sprintf("%s/%d", key(1, strings.ToUpper(digestC), digestB), i) }
				objects := listed(1, func(int) string { return key(1, digestB, digestA) })
				objects = append(objects, listed(1, func(int) string { return after(2) })...)
				objects = append(objects, listed(98, before)...)
				return append(objects, listed(1, after)...), false, nil
			},
			requests: 1,
			check: func(err error) bool {
				e, ok := errors.AsType[*EquivocationError](err)
				return ok && slices.Contains(e.Keys, key(1, digestB, digestA)) && len(e.Keys) == 100 && e.More == 1
			},
		},
		"empty pages for ever": {
			list:     func(int) ([]*driver.ListObject, bool, error) { return nil, true, nil },
			requests: maxListings,
			check:    func(err error) bool { return Transient(err) && !errors.Is(err, ErrNotPublished) },
		},
		"another epoch's batch": {
			list: func(int) ([]*driver.ListObject, bool, error) {
				return listed(1, func(int) string { return key(2, digestA, digestB) }), false, nil
			},
			requests: 1,
			check:    func(err error) bool { _, ok := errors.AsType[*NameError](err); return ok },
		},
		"a name of a megabyte": {
			list: func(int) ([]*driver.ListObject, bool, error) {
				return listed(1, func(int) string { return strings.Repeat("\n", 1<<20) + "/x/y" }), false, nil
			},
			requests: 1,
			check: func(err error) bool {
				e, ok := errors.AsType[*NameError](err)
				return ok && len(e.Key) <= 1024 && len(err.Error()) < 2048 && !strings.Contains(err.Error(), "\n")
			},
		},
		"a fault": {
			list:     func(int) ([]*driver.ListObject, bool, error) { return nil, false, errServer },
			requests: 1,
			check: func(err error) bool {
				return errors.Is(err, errServer) && Transient(err) && strings.Contains(err.Error(), "epoch 1")
			},
		},
		"a bucket that isn't there": {
			list:     func(int) ([]*driver.ListObject, bool, error) { return nil, false, errMissing },
			requests: 1,
			check:    func(err error) bool { return Transient(err) && !errors.Is(err, ErrNotPublished) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &faultyBucket{list: test.list}
			_, err := New(b.open(t), Options{}).Locate(t.Context(), 1)
			if !test.check(err) {
				t.Errorf("got %.300v", err)
			}
			if b.listings != test.requests {
				t.Errorf("%d requests, want %d", b.listings, test.requests)
			}
		})
	}
}

func TestLocateContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	b := &faultyBucket{list: func(int) ([]*driver.ListObject, bool, error) { return nil, false, ctx.Err() }}
	if _, err := New(b.open(t), Options{}).Locate(ctx, 1); err != context.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	// A listing that ignores its context must not keep a caller of many listings from stopping.
	heedless := &faultyBucket{list: func(int) ([]*driver.ListObject, bool, error) {
		return listed(1, func(int) string { return key(1, digestA, digestB) }), false, nil
	}}
	if _, err := New(heedless.open(t), Options{}).Locate(ctx, 1); err != context.DeadlineExceeded {
		t.Errorf("the listing succeeded: got %v", err)
	}
	if _, err := New(b.open(t), Options{}).Locate(t.Context(), 0); err == nil {
		t.Error("epoch 0 has been located")
	}
}

// A log directory that is gone is a fault, and not a log that has not published.
func TestLocateWithoutLogDirectory(t *testing.T) {
	t.Parallel()
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	gone := errors.New("gone")
	f := New(bucket, Options{Present: func(context.Context, string) error { return gone }})
	if _, err := f.Locate(t.Context(), 7); !errors.Is(err, gone) || errors.Is(err, ErrNotPublished) {
		t.Errorf("without its folder: %v", err)
	}
	f = New(bucket, Options{Present: func(context.Context, string) error { return nil }})
	if _, err := f.Locate(t.Context(), 7); !errors.Is(err, ErrNotPublished) {
		t.Errorf("with its folder: %v", err)
	}
}
