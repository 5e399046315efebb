package signature_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/signature"
)

// TestParse edits one good signed digest: each edit is old text and its replacement.
func TestParse(t *testing.T) {
	t.Parallel()
	s := sign(t, key(1), 300)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	message := good[strings.Index(good, `,"serialized_message"`) : len(good)-1]

	for name, c := range map[string]struct {
		old, new string
		ok       bool
	}{
		"as written":                   {"", "", true},
		"an unknown field":             {`{`, `{"later":{"a":[1,{}]},`, true},
		"a field in another case":      {`{`, `{"Epoch":"x",`, true},
		"no serialized_message":        {message, "", true},
		"null serialized_message":      {message, `,"serialized_message":null`, true},
		"no version":                   {`"version":1,`, "", true},
		"no ciphersuite":               {`"ciphersuite":1,`, "", true},
		"white space":                  {`{`, " \n{ ", true},
		"neither suite field":          {`"version":1,"ciphersuite":1,`, "", false},
		"suite fields differ":          {`"version":1`, `"version":2`, false},
		"null version":                 {`"version":1`, `"version":null`, false},
		"null ciphersuite":             {`"ciphersuite":1`, `"ciphersuite":null`, false},
		"unknown ciphersuite":          {`"version":1,"ciphersuite":1`, `"version":3,"ciphersuite":3`, false},
		"other signed bytes":           {`"serialized_message":"08`, `"serialized_message":"09`, false},
		"short serialized_message":     {message, `,"serialized_message":"08"`, false},
		"serialized_message of a type": {message, `,"serialized_message":[]`, false},
		"field twice":                  {`"epoch":300`, `"epoch":300,"epoch":300`, false},
		"unknown field twice":          {`{`, `{"x":1,"x":1,`, false},
		"escaped name twice":           {`"epoch":300`, `"epoch":300,"\u0065poch":300`, false},
		"epoch missing":                {`"epoch":300,`, "", false},
		"epoch null":                   {`"epoch":300`, `"epoch":null`, false},
		"epoch as string":              {`"epoch":300`, `"epoch":"300"`, false},
		"epoch negative":               {`"epoch":300`, `"epoch":-300`, false},
		"epoch as fraction":            {`"epoch":300`, `"epoch":300.0`, false},
		"epoch as exponent":            {`"epoch":300`, `"epoch":3e2`, false},
		"epoch over 64 bits":           {`"epoch":300`, `"epoch":18446744073709551616`, false},
		"timestamp missing":            {`"timestamp":1700000000000,`, "", false},
		"key_id missing":               {`,"key_id":92`, "", false},
		"key_id over a byte":           {`"key_id":92`, `"key_id":348`, false},
		"namespace a number":           {`"namespace":"` + namespace + `"`, `"namespace":1`, false},
		"namespace empty":              {`"namespace":"` + namespace + `"`, `"namespace":""`, false},
		"namespace not UTF-8":          {namespace, "\xff", false},
		"digest short":                 {`"digest":"01`, `"digest":"`, false},
		"digest long":                  {`"digest":"`, `"digest":"00`, false},
		"digest not hex":               {`"digest":"01`, `"digest":"0x`, false},
		"digest with a prefix":         {`"digest":"01`, `"digest":"0X`, false},
		"signature short":              {`"signature":"`, `"signature":"","s":"`, false},
		"signature null":               {`"signature":"`, `"signature":null,"s":"`, false},
		"something after it":           {`}`, `}{}`, false},
		"cut short":                    {`}`, ``, false},
		"in an array":                  {`{`, `[{`, false},
		"comma at the end":             {`}`, `,}`, false},
		"too large":                    {`{`, `{"x":"` + strings.Repeat("x", signature.MaxSize) + `",`, false},
	} {
		text := good
		if c.old != "" {
			if text = strings.Replace(good, c.old, c.new, 1); text == good {
				t.Fatalf("%s: the edit changes nothing in %s", name, good)
			}
		}
		got, err := signature.Parse([]byte(text))
		switch {
		case c.ok && (err != nil || got != s):
			t.Errorf("%s: %+v, error %v", name, got, err)
		case !c.ok && !errors.Is(err, signature.ErrMalformed):
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		case !c.ok && got != (signature.SignedDigest{}):
			t.Errorf("%s: half of it came back: %+v", name, got)
		}
	}
	for _, text := range []string{"", " ", "null", "1", `"x"`, "[]", "{}", "{", `{"epoch"`, `{1:2}`, strings.Repeat("[", 1<<15)} {
		if _, err := signature.Parse([]byte(text)); !errors.Is(err, signature.ErrMalformed) {
			t.Errorf("%.20q: %v, want ErrMalformed", text, err)
		}
	}
}

func TestParseTakesHexOfEitherCase(t *testing.T) {
	t.Parallel()
	s, err := signature.Sign(key(1), 1, namespace, 1, 300, [32]byte{0xab})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	upper := strings.Replace(string(b), `"digest":"ab`, `"digest":"AB`, 1)
	if got, err := signature.Parse([]byte(upper)); err != nil || got != s {
		t.Errorf("%+v, error %v", got, err)
	}
	var back signature.SignedDigest
	if err := json.Unmarshal([]byte(upper), &back); err != nil || back != s {
		t.Errorf("by json.Unmarshal: %+v, error %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{}`), &back); !errors.Is(err, signature.ErrMalformed) || back != s {
		t.Errorf("by json.Unmarshal of nothing: %+v, error %v", back, err)
	}
}

// FuzzParse: no input panics, every refusal is ErrMalformed, and what is accepted is written and
// read back as it was.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "{}", "null", `{"version":1,"version":1}`} {
		f.Add([]byte(text))
	}
	for _, suite := range []uint32{1, 2} {
		s, err := signature.Sign(key(1), suite, namespace, 1, 2, [32]byte{3})
		if err != nil {
			f.Fatal(err)
		}
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := signature.Parse(b)
		if err != nil {
			if !errors.Is(err, signature.ErrMalformed) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := signature.Parse(again); err != nil || back != s {
			t.Fatalf("%+v came back as %+v, error %v", s, back, err)
		}
	})
}
