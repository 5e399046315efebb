package strictyaml

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

type house struct {
	Street string        `yaml:"street"`
	Since  time.Duration `yaml:"since" zero:"ever"`
	Rooms  []room        `yaml:"rooms,single"`
}

type room struct {
	Name  string `yaml:"name,alone"`
	Seats int    `yaml:"seats"`
}

func (r *room) SetDefaults(given func(string) (string, bool)) {
	if name, ok := given("name"); ok && name == "hall" {
		r.Seats = 100
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want house
	}{
		"one for a list":     {"{street: a, rooms: {name: b, seats: 3}}", house{"a", time.Hour, []room{{"b", 3}}}},
		"a text for a field": {"rooms: [b, {name: c}]", house{"", time.Hour, []room{{"b", 0}, {"c", 0}}}},
		"a default by name":  {"rooms: [{name: hall}, {seats: 2, name: hall}]", house{"", time.Hour, []room{{"hall", 100}, {"hall", 2}}}},
		"a word for zero":    {"since: ever", house{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := house{Since: time.Hour}
			source, problems, err := Decode("f", []byte(test.text), &got, "")
			if err = errors.Join(err, problems.Err()); err != nil || !reflect.DeepEqual(got, test.want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, test.want)
			}
			if source.Given("since") != (name == "a word for zero") {
				t.Errorf("given are %q", source.Paths())
			}
			again := house{Since: time.Hour}
			if _, problems, err = Decode("f", []byte(Encode(got)), &again, ""); errors.Join(err, problems.Err()) != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("%+v came back as %+v from %s", got, again, Encode(got))
			}
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	var h house
	source, problems, err := Decode("f", []byte("streat: a\nrooms:\n  - {seats: 0, street: x}\n"), &h, "")
	if err != nil {
		t.Fatal(err)
	}
	problems.Must("street", false, "is suppressed: %s was probably meant", "it")
	problems.Must("rooms[0].name", false, "is missing")
	want := "the configuration has 4 problems:\n" +
		"f:1:1: unknown key \"streat\" (did you mean \"street\"?)\n" +
		"f:3:6: rooms[0].name: is missing\n" +
		"f:3:13: rooms[0].seats: 0 is too small: want a whole number of at least 1\n" +
		"f:3:16: rooms[0]: unknown key \"street\" here: it belongs at the top level"
	if got := problems.Err().Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Settings(house{}); !slices.Equal(got, []string{"street", "since", "rooms", "rooms[].name", "rooms[].seats"}) {
		t.Errorf("the settings are %q", got)
	}
	if (*Source)(nil).Given("street") || (*Source)(nil).Collect().Err() != nil {
		t.Error("what was not read from a file has a place in it")
	}
	if _, _, err := Decode("f", []byte("a: b\n---\nc: d\n"), &h, ""); err == nil || source.Given("a") {
		t.Errorf("two documents: %v", err)
	}
}
