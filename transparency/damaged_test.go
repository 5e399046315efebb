package transparency

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob/memblob"
)

// An object that cannot be read is told of, and keeps none of its kind from being recorded.
func TestUnreadableObjectHidesNoOther(t *testing.T) {
	t.Parallel()
	bucket := memblob.OpenBucket(nil)
	s := auditstore.New(bucket)
	must(t, s.Incidents(namespace).Put(t.Context(), "rejected.000000001002", []byte("wrong\n")))
	must(t, bucket.WriteAll(t.Context(), namespace+"/incidents/open/canary.000000001001.json", make([]byte, 8<<20), nil))
	r := NewRecorder(s, namespace, nil)
	for i := range 2 {
		if n, err := r.Record(t.Context()); n != 1-i || !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("%d events, %v", n, err)
		}
	}
}

// A plan that is listed and cannot be read does not make settled epochs look open.
func TestListedPlanIsMissing(t *testing.T) {
	t.Parallel()
	bucket := memblob.OpenBucket(nil)
	s := auditstore.New(bucket)
	l := begun(t, s)
	judge(t, s, first, first+9)
	advanced(t, l, 100)
	must(t, bucket.WriteAll(t.Context(), namespace+"/tlog/verdicts/plans/"+auditstore.GenerationName(2), []byte("junk"), nil))
	must(t, bucket.Delete(t.Context(), fmt.Sprintf("%s/verdicts/%s/%s.json", namespace, verdict.ShardName(1), verdict.EpochName(first+2))))
	if a, err := l.PutAbsence(t.Context(), first+2, "alice", "it is gone", time.Now()); err == nil {
		t.Errorf("%+v", a)
	}
}
