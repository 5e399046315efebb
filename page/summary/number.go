package summary

import (
	"fmt"
	"math"
	"strconv"
)

// Number shows a number with its thousands apart.
func Number(v any) string {
	var text string
	switch v := v.(type) {
	case float64:
		if v < 100 && v != math.Trunc(v) {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		text = strconv.FormatFloat(v, 'f', 0, 64)
	case *uint64:
		text = strconv.FormatUint(*v, 10)
	default:
		text = fmt.Sprint(v)
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
