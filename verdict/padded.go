package verdict

import (
	"fmt"
	"strconv"
	"strings"
)

// ShardName is the number of a shard as it stands in keys, EpochName that of an epoch: padded, so
// that a listing is in order.
func ShardName(shard uint64) string { return fmt.Sprintf("%09d", shard) }
func EpochName(epoch uint64) string { return fmt.Sprintf("%012d", epoch) }

// ParseShardName reads what ShardName writes, ParseEpochName what EpochName does.
func ParseShardName(name string) (uint64, bool) { return ParsePadded(name, 9) }
func ParseEpochName(name string) (uint64, bool) { return ParsePadded(name, 12) }

// ParsePadded reads a decimal number of exactly so many digits, as keys have them.
func ParsePadded(s string, digits int) (uint64, bool) {
	if len(s) != digits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
