package s3list

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// look lists a prefix, and notes how fresh the listing is.
func look(t *testing.T, b *blob.Bucket, prefix string) (keys []string, f Freshness) {
	t.Helper()
	objects, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 1000, &blob.ListOptions{Prefix: prefix, BeforeList: f.Watch})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys, f
}

// TestHostileCacheOfAbsence: an epoch that was asked for too early is seen all the same as soon as
// it is there.
func TestHostileCacheOfAbsence(t *testing.T) {
	t.Parallel()
	b, server := opened(t, nil, quick())
	network := &s3listtest.Network{KeepFor: 10 * time.Minute}
	server.Always(network.Serve)
	if keys, f := look(t, b, "7/"); len(keys) != 0 || !f.Fresh() || f.Plain || f.Answers != 1 || f.String() != "fresh (Miss from cloudfront)" {
		t.Errorf("before: %q, %+v", keys, f)
	}
	server.Replace(t, "7/a/b", "batch")
	if keys, f := look(t, b, "7/"); len(keys) != 1 || !f.Fresh() {
		t.Errorf("after: %q, %+v", keys, f)
	}
	if n := network.Hits(); n != 0 {
		t.Errorf("%d answers out of the cache", n)
	}
}

// TestHostileCacheIsNoticed: where the random parameter does not help, a listing says that it is an
// old one.
func TestHostileCacheIsNoticed(t *testing.T) {
	t.Parallel()
	plain := quick()
	plain.Plain = true
	for name, test := range map[string]struct {
		options Options
		network *s3listtest.Network
	}{
		"the network ignores the parameter": {quick(), &s3listtest.Network{IgnoreQuery: []string{randomParameter}}},
		"the setting is off":                {plain, &s3listtest.Network{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, server := opened(t, nil, test.options)
			server.Always(test.network.Serve)
			look(t, b, "7/")
			server.Replace(t, "7/a/b", "batch")
			test.network.Pass(3 * time.Minute)
			keys, f := look(t, b, "7/")
			if len(keys) != 0 || f.Fresh() || f.Age < 3*time.Minute || f.Plain != test.options.Plain ||
				!strings.HasPrefix(f.String(), "kept by a cache for 3m") || !strings.HasSuffix(f.String(), "(Hit from cloudfront)") {
				t.Errorf("%q, %+v", keys, f)
			}
		})
	}
}

// TestHostileServerRefusesTheRandomParameter: it is noticed, and not asked again each time.
func TestHostileServerRefusesTheRandomParameter(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 501} {
		b, server := opened(t, map[string]string{"7/a/b": "batch"}, quick())
		server.Always(s3listtest.RefuseUnknown(status))
		told := 0
		var notices Notices
		if !b.As(&notices) {
			t.Fatal("no notices")
		}
		notices.OnRefusal(func() { told++ })
		for i := range 3 {
			if keys, f := look(t, b, "7/"); !slices.Equal(keys, []string{"7/a/b"}) || !f.Plain {
				t.Errorf("%d, listing %d: %q, %+v", status, i, keys, f)
			}
		}
		if n := len(server.Requests()); n != 5 {
			t.Errorf("%d: %d requests", status, n)
		}
		late := 0
		notices.OnRefusal(func() { late++ })
		if told != 1 || late != 1 {
			t.Errorf("%d: told %d times, later %d times", status, told, late)
		}
	}
	// What is refused with and without it says nothing about it.
	b, server := opened(t, nil, quick())
	server.Next(s3listtest.Status(403, "AccessDenied"), s3listtest.Status(403, "AccessDenied"))
	if _, err := list(t.Context(), b, "7/", ""); gcerrors.Code(err) != gcerrors.PermissionDenied {
		t.Error(err)
	}
	if _, f := look(t, b, "7/"); f.Plain {
		t.Errorf("%+v", f)
	}
	// Neither does a refusal of a moment: an hour of listings that caches may keep is no answer.
	server.Next(s3listtest.Status(403, "AccessDenied"))
	if _, f := look(t, b, "7/"); f.Plain {
		t.Errorf("after one refusal: %+v", f)
	}
	if _, f := look(t, b, "7/"); f.Plain {
		t.Errorf("later: %+v", f)
	}
}

func TestRandomParameterIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &random{}
		r.refused()
		if r.wanted() {
			t.Error("wanted at once")
		}
		time.Sleep(refusedFor) // the bubble's clock
		if !r.wanted() {
			t.Error("never wanted again")
		}
		r = &random{off: true}
		if r.wanted() {
			t.Error("wanted though it is off")
		}
	})
}
