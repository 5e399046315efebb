package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size. In the file it has a unit, as in 512MiB.
type Bytes int64

// The units of sizes.
const (
	KiB Bytes = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// unit is the name of a multiple.
type unit struct {
	name string
	size int64
}

// The units, the largest first.
var (
	sizeUnits = []unit{{"TiB", int64(TiB)}, {"GiB", int64(GiB)}, {"MiB", int64(MiB)}, {"KiB", int64(KiB)}, {"B", 1}}
	timeUnits = []unit{
		{"d", 24 * int64(time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
		{"ms", int64(time.Millisecond)},
	}
)

// ParseBytes reads a size such as 512MiB.
func ParseBytes(text string) (Bytes, error) {
	n, rest, err := quantity(text, "512MiB or 2GiB", sizeUnits)
	if err == nil && rest != "" {
		err = fmt.Errorf("%.60q is not a size such as 512MiB or 2GiB", text)
	}
	return Bytes(n), err
}

// ParseDuration reads a duration such as 30s, 1h30m or 30d.
func ParseDuration(text string) (time.Duration, error) {
	var sum int64
	for rest := text; ; {
		n, after, err := quantity(rest, "30s, 15m or 30d", timeUnits)
		if err != nil {
			return 0, err
		}
		if sum > math.MaxInt64-n {
			return 0, fmt.Errorf("%.60q is too long", text)
		}
		sum += n
		if rest = after; rest == "" {
			return time.Duration(sum), nil
		}
	}
}

// Lag is how far an audit may be behind its log: by a number of epochs, or by a time since the
// first of them was published. One of the two is set, or neither: then it may be as far as it
// likes.
type Lag struct {
	Epochs uint64
	Age    time.Duration
}

// ParseLag reads a lag such as 20 or 15m.
func ParseLag(text string) (Lag, error) {
	if strings.Trim(text, "0123456789") == "" {
		n, err := WholeNumber(text, 63)
		if err == nil && n == 0 {
			err = errors.New("0 epochs are too few, for an epoch takes a while to be audited: want 1 or more, a duration such as 15m, or never")
		}
		return Lag{Epochs: n}, err
	}
	age, err := ParseDuration(text)
	switch {
	case err != nil:
		err = fmt.Errorf("%.60q is neither a number of epochs, such as 20, nor a duration, such as 15m (or never)", text)
	case age == 0:
		err = fmt.Errorf("%.60s is too short: want a longer one, a number of epochs such as 20, or never", text)
	}
	return Lag{Age: age}, err
}

// String returns the lag as ParseLag reads it.
func (l Lag) String() string {
	switch {
	case l.Epochs > 0:
		return strconv.FormatUint(l.Epochs, 10)
	case l.Age > 0:
		return DurationText(l.Age)
	}
	return "never"
}

// quantity reads one number with its unit from the beginning of text.
func quantity(text, examples string, units []unit) (n int64, rest string, err error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err = strconv.ParseInt(text[:digits], 10, 64)
	name := strings.TrimPrefix(text[digits:], " ")
	letters := strings.IndexAny(name, "0123456789 ")
	if letters < 0 {
		letters = len(name)
	}
	name, rest = name[:letters], name[letters:]
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, "", fmt.Errorf("%.60q is too large", text)
	case err != nil || strings.ContainsAny(name, ".,-+"):
		return 0, "", fmt.Errorf("%.60q is not a whole number with a unit, such as %s", text, examples)
	case name == "":
		return 0, "", fmt.Errorf("%.60s has no unit: write for example %s", text, examples)
	}
	for _, u := range units {
		if u.name != name {
			continue
		}
		if n > math.MaxInt64/u.size {
			return 0, "", fmt.Errorf("%.60q is too large", text)
		}
		return n * u.size, rest, nil
	}
	return 0, "", fmt.Errorf("%.60q has the unknown unit %.20q: use %s", text, name, unitNames(units))
}

func unitNames(units []unit) string {
	names := make([]string, len(units))
	for i, u := range units {
		names[len(units)-1-i] = u.name
	}
	return strings.Join(names, ", ")
}

// String returns the size as ParseBytes reads it, in the largest unit that leaves it whole.
func (b Bytes) String() string {
	for _, u := range sizeUnits {
		if int64(b)%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(b)/u.size, u.name)
		}
	}
	return ""
}

// DurationText returns a duration as ParseDuration reads it.
func DurationText(d time.Duration) string {
	var text strings.Builder
	for _, u := range timeUnits {
		if n := int64(d) / u.size; n > 0 {
			fmt.Fprintf(&text, "%d%s", n, u.name)
			d -= time.Duration(n * u.size)
		}
	}
	if text.Len() == 0 {
		return "0s"
	}
	return text.String()
}

// WholeNumber parses decimal digits only: no sign, no separators, no other base.
func WholeNumber(text string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%.60q is not a whole number such as 1000", text)
	}
	return n, nil
}
