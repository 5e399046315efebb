package witnesses

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "auditor.example.org/example"

// reply is what a scripted witness answers.
type reply struct {
	status int
	body   string
}

// scripted is a witness that answers as it was told, in turn, and keeps what it was asked. The
// last answer is given again.
type scripted struct {
	*httptest.Server
	mu      sync.Mutex
	replies []reply
	asked   []string
}

func script(t *testing.T, replies ...reply) *scripted {
	t.Helper()
	s := &scripted{replies: replies}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path+"\n"+string(body))
		now := s.replies[min(len(s.asked), len(s.replies))-1]
		w.WriteHeader(now.status)
		_, _ = io.WriteString(w, now.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) questions() (old []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		old = append(old, strings.Split(q, "\n")[1])
	}
	return old
}

// lines are the cosignatures of witnesses on the first entries of a log.
func lines(l *tlogtest.Log, size int64, names ...string) string {
	checkpoint := l.Checkpoint(size)
	return strings.TrimPrefix(string(tlogtest.Cosign(checkpoint, names...)), string(checkpoint))
}

// undated is a cosignature of w.example as of a time that no calendar has.
func undated(l *tlogtest.Log, size int64) string {
	c, err := tlogproof.NewCosigner("w.example", tlogtest.Key("w.example"))
	if err != nil {
		panic(err)
	}
	signed, err := note.Sign(&note.Note{Text: l.Body(size)}, c.At(time.Unix(1<<40, 0)))
	if err != nil {
		panic(err)
	}
	_, line, _ := strings.Cut(string(signed), "\n\n")
	return line
}

func only(t *testing.T, url string) *Witnesses {
	t.Helper()
	w, err := New(Config{Members: []Member{{url, tlogtest.Witness("w.example")}}, Require: 1})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func ask(t *testing.T, w *Witnesses, l *tlogtest.Log, size int64) []Answer {
	t.Helper()
	return w.Ask(t.Context(), l.Checkpoint(size), l.Tree(size), func(old int64) (tlog.TreeProof, error) {
		return l.Consistency(size, old), nil
	})
}

func TestWhatIsAsked(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin).Grow(9, "entry ")
	s := script(t, reply{409, "4\n"}, reply{200, lines(l, 7, "stranger.example", "w.example")}, reply{200, lines(l, 9, "w.example")}, reply{200, lines(l, 9, "w.example")})
	w := only(t, s.URL+"/prefix/")
	a := ask(t, w, l, 7)
	if a[0].Err != nil || a[0].Name != "w.example" || string(a[0].Line) != lines(l, 7, "w.example") && !bytes.HasPrefix(a[0].Line, []byte("\u2014 w.example ")) {
		t.Fatalf("%+v", a[0])
	}
	for range 2 {
		if a := ask(t, w, l, 9); a[0].Err != nil {
			t.Fatal(a[0].Err)
		}
	}
	if got := fmt.Sprint(s.questions()); got != "[old 0 old 4 old 7 old 9]" {
		t.Errorf("%s: what the witness saw last was not remembered", got)
	}
	want := "POST /prefix/add-checkpoint\nold 4\n"
	for _, h := range l.Consistency(7, 4) {
		want += h.String() + "\n"
	}
	if want += "\n" + string(l.Checkpoint(7)); s.asked[1] != want {
		t.Errorf("asked\n%s\nwant\n%s", s.asked[1], want)
	}
}

func TestWhatWitnessesAnswer(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin).Grow(9, "entry ")
	fault := errors.New("any other error")
	for _, c := range []struct {
		name    string
		replies []reply
		want    error // nil: a cosignature
		asked   string
	}{
		{"a cosignature", []reply{{200, lines(l, 7, "w.example")}}, nil, "[old 0]"},
		{"a replica was quicker, twice", []reply{{409, "3\n"}, {409, "5\n"}, {200, lines(l, 7, "w.example")}}, nil, "[old 0 old 3 old 5]"},
		{"it forgot what it saw", []reply{{409, "5\n"}, {409, "0\n"}, {200, lines(l, 7, "w.example")}}, nil, "[old 0 old 5 old 0]"},
		{"a larger tree", []reply{{409, "8\n"}}, &AheadError{"w.example", 8}, "[old 0]"},
		{"another history", []reply{{409, "5\n"}, {422, ""}}, &OtherHistoryError{"w.example", 5}, "[old 0 old 5 old 5]"},
		{"another history, of the same size", []reply{{409, "7\n"}}, &OtherHistoryError{"w.example", 7}, "[old 0 old 7 old 7]"},
		{"another history, by 422 for the same size", []reply{{409, "7\n"}, {422, ""}}, &OtherHistoryError{"w.example", 7}, "[old 0 old 7 old 7]"},
		{"a proof was spoilt on the way, once", []reply{{409, "5\n"}, {422, ""}, {200, lines(l, 7, "w.example")}}, nil, "[old 0 old 5 old 5]"},
		{"a proof was refused, and then it had another tree", []reply{{409, "5\n"}, {422, ""}, {409, "6\n"}, {422, ""}, {200, lines(l, 7, "w.example")}}, nil, "[old 0 old 5 old 5 old 6 old 6]"},
		{"422 of nothing", []reply{{422, ""}}, fault, "[old 0]"},
		{"always another size", []reply{{409, "1\n"}, {409, "2\n"}, {409, "1\n"}, {409, "2\n"}, {409, "1\n"}}, fault, "[old 0 old 1 old 2 old 1 old 2]"},
		{"a conflict about nothing", []reply{{409, "0\n"}}, fault, "[old 0]"},
		{"a conflict without a size", []reply{{409, "no\n"}}, fault, "[old 0]"},
		{"a size below zero", []reply{{409, "-1\n"}}, fault, "[old 0]"},
		{"a size written otherwise", []reply{{409, "+5\n"}}, fault, "[old 0]"},
		{"a size beyond all", []reply{{409, "99999999999999999999\n"}}, fault, "[old 0]"},
		{"an unknown log", []reply{{404, ""}}, ErrUnknownOrigin, "[old 0]"},
		{"another key", []reply{{403, ""}}, ErrNotSigned, "[old 0]"},
		{"trouble", []reply{{500, "\x1b[31mdisk full\n"}}, fault, "[old 0]"},
		{"a redirect", []reply{{307, ""}}, fault, "[old 0]"},
		{"nothing", []reply{{200, ""}}, fault, "[old 0]"},
		{"a page", []reply{{200, "<html>\n"}}, fault, "[old 0]"},
		{"a stranger's cosignature", []reply{{200, lines(l, 7, "stranger.example")}}, fault, "[old 0]"},
		{"a cosignature of another tree", []reply{{200, lines(l, 6, "w.example")}}, fault, "[old 0]"},
		{"a cosignature as of no date", []reply{{200, undated(l, 7)}}, fault, "[old 0]"},
		{"a note of its own", []reply{{200, "more\n\n" + lines(l, 7, "w.example")}}, fault, "[old 0]"},
		{"a blank line first", []reply{{200, "\n" + lines(l, 7, "w.example")}}, fault, "[old 0]"},
		{"too much", []reply{{200, lines(l, 7, "w.example") + strings.Repeat("x", maxAnswer)}}, fault, "[old 0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := script(t, c.replies...)
			a := ask(t, only(t, s.URL), l, 7)[0]
			if got := fmt.Sprint(s.questions()); got != c.asked {
				t.Errorf("asked %s, want %s", got, c.asked)
			}
			if (a.Err == nil) != (a.Line != nil) {
				t.Errorf("line %q with %v", a.Line, a.Err)
			}
			var ahead *AheadError
			var other *OtherHistoryError
			isFault := a.Err != nil && !errors.As(a.Err, &ahead) && !errors.As(a.Err, &other) && !errors.Is(a.Err, ErrUnknownOrigin) && !errors.Is(a.Err, ErrNotSigned)
			switch {
			case c.want == fault:
				if !isFault || strings.ContainsRune(a.Err.Error(), 0x1b) {
					t.Errorf("%v", a.Err)
				}
			case c.want == nil || errors.Is(c.want, ErrUnknownOrigin) || errors.Is(c.want, ErrNotSigned):
				if !errors.Is(a.Err, c.want) {
					t.Errorf("%v, want %v", a.Err, c.want)
				}
			default:
				if fmt.Sprintf("%#v", a.Err) == "" || a.Err == nil || a.Err.Error() != c.want.Error() || fmt.Sprintf("%T", a.Err) != fmt.Sprintf("%T", c.want) {
					t.Errorf("%v, want %v", a.Err, c.want)
				}
			}
		})
	}
}

// roundTrip is a function that answers requests.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSlowWitnessHoldsNobodyUp: a witness that answers only after another was done with, though it
// stands first, and then not in time.
func TestSlowWitnessHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin).Grow(7, "entry ")
	done := make(chan struct{})
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "stuck.example" {
			<-done
			return nil, context.DeadlineExceeded
		}
		defer close(done)
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(lines(l, 7, "w.example")))}, nil
	})
	w, err := New(Config{
		Members:   []Member{{"http://stuck.example", tlogtest.Witness("stuck.example")}, {"http://w.example", tlogtest.Witness("w.example")}},
		Require:   1,
		Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, w, l, 7)
	if !errors.Is(a[0].Err, context.DeadlineExceeded) || a[1].Err != nil || !w.Met(w.Assemble(l.Checkpoint(7), a)) {
		t.Errorf("%v, %v", a[0].Err, a[1].Err)
	}
}

func TestAskingHasATime(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin).Grow(7, "entry ")
	waits := roundTrip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
	w, err := New(Config{Members: []Member{{"http://w.example", tlogtest.Witness("w.example")}}, Require: 1, Timeout: time.Nanosecond, Transport: waits})
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, w, l, 7); !errors.Is(a[0].Err, context.DeadlineExceeded) {
		t.Errorf("%v", a[0].Err)
	}
}

func TestNoProofNoQuestion(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin).Grow(7, "entry ")
	s := script(t, reply{409, "5\n"})
	broken := errors.New("tiles are lost")
	a := only(t, s.URL).Ask(t.Context(), l.Checkpoint(7), l.Tree(7), func(int64) (tlog.TreeProof, error) { return nil, broken })
	if !errors.Is(a[0].Err, broken) || len(s.questions()) != 1 {
		t.Errorf("%v after %v", a[0].Err, s.questions())
	}
}

func TestEnough(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin).Grow(7, "entry ")
	names := []string{"w1.example", "w2.example", "w3.example"}
	var members []Member
	for _, name := range names {
		members = append(members, Member{script(t, reply{200, lines(l, 7, name)}).URL, tlogtest.Witness(name)})
	}
	members[2].URL = script(t, reply{500, ""}).URL
	w, err := New(Config{Members: members, Require: 2})
	if err != nil {
		t.Fatal(err)
	}
	checkpoint := l.Checkpoint(7)
	if w.Met(checkpoint) || len(w.Cosigned(checkpoint)) != 0 {
		t.Error("nobody cosigned yet")
	}
	answers := ask(t, w, l, 7)
	all := w.Assemble(checkpoint, answers)
	if !w.Met(all) || len(w.Cosigned(all)) != 2 || !bytes.HasPrefix(all, checkpoint) {
		t.Errorf("cosigned by %v:\n%s", w.Cosigned(all), all)
	}
	if w.Met(w.Assemble(checkpoint, answers[:1])) {
		t.Error("one of three is enough, where two must")
	}
	// Asked again, a witness has one cosignature all the same; strangers stay.
	more := tlogtest.Cosign(all, "stranger.example")
	again := w.Assemble(more, answers)
	if strings.Count(string(again), "\u2014") != 4 || !w.Met(again) || !strings.Contains(string(again), "stranger.example") {
		t.Errorf("%s", again)
	}
	// One on another tree does not count, nor does it spoil the others.
	spoilt := append(bytes.Clone(w.Assemble(checkpoint, answers[:1])), lines(l, 6, "w2.example")...)
	if got := w.Cosigned(spoilt); len(got) != 1 || w.Met(spoilt) {
		t.Errorf("%v", got)
	}
	if !bytes.Equal(w.Assemble([]byte("no note"), answers), []byte("no note")) {
		t.Error("cosignatures of nothing")
	}
}

func TestWhoMayBeAWitness(t *testing.T) {
	t.Parallel()
	w1 := Member{"https://w1.example", tlogtest.Witness("w1.example")}
	alias, err := torchwood.NewCosignatureSigner("alias.example", tlogtest.Key("w1.example"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		members []Member
		require int
		want    string
	}{
		{"none, of none", nil, 0, ""},
		{"one", []Member{w1}, 1, ""},
		{"none is required", []Member{w1}, 0, "0 cosignatures are required of 1"},
		{"too many are required", []Member{w1}, 2, "2 cosignatures are required of 1"},
		{"one key under two names", []Member{w1, {"https://w2.example", alias.Verifier().String()}}, 1, "would count twice"},
		{"a log's key", []Member{{"https://w1.example", tlogtest.New(origin).Verifier()}}, 1, "unknown verifier algorithm"},
		{"too many", make([]Member, tlogproof.MaxWitnesses+1), 1, "the limit is"},
	} {
		_, err := New(Config{Members: c.members, Require: c.require})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
