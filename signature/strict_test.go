package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"filippo.io/edwards25519"
)

// The two primes of the curve: the field's and the group's.
var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	groupOrder = must(new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10))
)

func must(n *big.Int, ok bool) *big.Int {
	if !ok {
		panic("not a number")
	}
	return n
}

// smallOrder returns the eight points of small order: the multiples of a point of order eight,
// which is what is left of an arbitrary point after multiplying it by the group order ℓ, as ℓ-1 and
// one more, since scalars are modulo ℓ.
func smallOrder(t *testing.T) []*edwards25519.Point {
	t.Helper()
	minusOne := edwards25519.NewScalar().Negate(scalar(1))
	for i := byte(0); i < 255; i++ {
		p, err := new(edwards25519.Point).SetBytes(bytes.Repeat([]byte{i}, 32))
		if err != nil {
			continue
		}
		generator := new(edwards25519.Point).ScalarMult(minusOne, p)
		generator.Add(generator, p)
		points := []*edwards25519.Point{edwards25519.NewIdentityPoint()}
		for next := generator; next.Equal(points[0]) == 0; next = new(edwards25519.Point).Add(next, generator) {
			points = append(points, next)
		}
		if len(points) == 8 {
			return points
		}
	}
	t.Fatal("no point of order eight found")
	return nil
}

func scalar(n uint64) *edwards25519.Scalar {
	wide := make([]byte, 64)
	for i := range 8 {
		wide[i] = byte(n >> (8 * i))
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(wide)
	if err != nil {
		panic(err)
	}
	return s
}

// challenge is ed25519's k = SHA-512(R ‖ A ‖ message).
func challenge(r, a *edwards25519.Point, message []byte) *edwards25519.Scalar {
	sum := sha512.Sum512(slices.Concat(r.Bytes(), a.Bytes(), message))
	k, err := edwards25519.NewScalar().SetUniformBytes(sum[:])
	if err != nil {
		panic(err)
	}
	return k
}

func concat(r *edwards25519.Point, s *edwards25519.Scalar) [64]byte {
	return [64]byte(append(r.Bytes(), s.Bytes()...))
}

// TestSmallOrderSignatures makes signatures that crypto/ed25519 accepts and verify_strict does not.
func TestSmallOrderSignatures(t *testing.T) {
	t.Parallel()
	torsion := smallOrder(t)
	cases := map[string]func(message []byte) (a *edwards25519.Point, sig [64]byte){
		// A has small order: whenever k·A is the identity, any r with S = r is a signature. No
		// secret is needed.
		"A": func(message []byte) (*edwards25519.Point, [64]byte) {
			s := scalar(7)
			return torsion[1], concat(new(edwards25519.Point).ScalarBaseMult(s), s)
		},
		// R has small order: A is a·B plus a point of order eight, S = k·a, and R cancels what k
		// leaves of the latter.
		"R": func(message []byte) (*edwards25519.Point, [64]byte) {
			secret := scalar(11)
			a := new(edwards25519.Point).ScalarBaseMult(secret)
			a.Add(a, torsion[1])
			for _, r := range torsion {
				k := challenge(r, a, message)
				rest := new(edwards25519.Point).ScalarMult(k, torsion[1])
				if rest.Negate(rest).Equal(r) == 1 {
					return a, concat(r, k.Multiply(k, secret))
				}
			}
			return a, [64]byte{}
		},
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted := 0
			for i := range 200 {
				message := fmt.Appendf(nil, "message %d", i)
				a, sig := make(message)
				if !ed25519.Verify(a.Bytes(), message, sig[:]) {
					continue
				}
				accepted++
				if checkPoint(a.Bytes()) == nil && verifyStrict(a.Bytes(), message, sig) {
					t.Fatalf("%q: accepted key %x, signature %x", message, a.Bytes(), sig)
				}
			}
			if accepted == 0 {
				t.Error("crypto/ed25519 accepted none either: this shows nothing")
			}
		})
	}
}

func TestCheckPointRefuses(t *testing.T) {
	t.Parallel()
	refuse := map[string][]byte{}
	for i, p := range smallOrder(t) {
		refuse[fmt.Sprintf("small order %d", i)] = p.Bytes()
	}
	// y and y + p are one number in the field: nineteen of them fit into 255 bits twice; each with
	// both signs of x.
	decodable := 0
	for y := range int64(19) {
		for _, sign := range []byte{0, 0x80} {
			encoding := new(big.Int).Add(fieldPrime, big.NewInt(y)).FillBytes(make([]byte, 32))
			slices.Reverse(encoding)
			encoding[31] |= sign
			refuse[fmt.Sprintf("p+%d, sign %#x", y, sign)] = encoding
			if _, err := new(edwards25519.Point).SetBytes(encoding); err == nil {
				decodable++
			}
		}
	}
	if decodable < 4 {
		t.Errorf("only %d of the encodings past p are points at all: this shows little", decodable)
	}
	// x = 0 has no sign: y = 1 and y = -1 with the sign bit set.
	one := make([]byte, 32)
	one[0], one[31] = 1, 0x80
	refuse["y = 1, negative zero x"] = one
	minusOne := new(big.Int).Sub(fieldPrime, big.NewInt(1)).FillBytes(make([]byte, 32))
	slices.Reverse(minusOne)
	minusOne[31] |= 0x80
	refuse["y = -1, negative zero x"] = minusOne
	refuse["no point"] = append([]byte{2}, make([]byte, 31)...)

	for name, encoding := range refuse {
		if checkPoint(encoding) == nil {
			t.Errorf("%s: accepted %x", name, encoding)
		}
		if _, err := ParseKeys([]string{hex.EncodeToString(encoding)}); err == nil {
			t.Errorf("%s: accepted as a key: %x", name, encoding)
		}
		// As R, over an S that fits nothing: no such encoding may even reach the equation.
		if verifyStrict(testKey().Public().(ed25519.PublicKey), nil, [64]byte(append(slices.Clone(encoding), make([]byte, 32)...))) {
			t.Errorf("%s: accepted as R", name)
		}
	}
	if err := checkPoint(edwards25519.NewGeneratorPoint().Bytes()); err != nil {
		t.Errorf("the base point: %v", err)
	}
}

// TestScalarPastGroupOrder: S and S + ℓ satisfy the same equation; only the first is a signature.
func TestScalarPastGroupOrder(t *testing.T) {
	t.Parallel()
	key := testKey()
	s, err := Sign(key, CiphersuiteProtobuf, "n", 1, 2, [32]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := ParseKeys([]string{hex.EncodeToString(key.Public().(ed25519.PublicKey))})
	if err != nil {
		t.Fatal(err)
	}
	if err := trusted.Verify(s); err != nil {
		t.Fatal(err)
	}
	little := slices.Clone(s.Signature[32:])
	slices.Reverse(little)
	sum := new(big.Int).Add(new(big.Int).SetBytes(little), groupOrder).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	copy(s.Signature[32:], sum)
	if err := trusted.Verify(s); !errors.Is(err, ErrInvalid) {
		t.Errorf("S + ℓ: %v, want ErrInvalid", err)
	}
}

func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
}
