package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestConsoleLines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log  func(zerolog.Logger)
		want string
	}{
		"rejected": {func(l zerolog.Logger) {
			l.Error().Str("namespace", "example").Uint64("epoch", 60).Str("outcome", "rejected").Str("reason", "overlapping_labels").
				Str("detail", "elements 2 and 5").Int("inserted", 3).Float64("verify_seconds", 0.1).Str("signature", "verified").Msg("epoch rejected")
		}, `ERR epoch 60 REJECTED overlapping_labels detail="elements 2 and 5" namespace=example`},
		"verified": {func(l zerolog.Logger) {
			l.Info().Str("namespace", "example").Uint64("epoch", 18446744073709551615).Str("outcome", "verified").Int("bytes", 3).Msg("epoch verified")
		}, "INF epoch 18446744073709551615 verified namespace=example"},
		"published": {func(l zerolog.Logger) {
			l.Info().Uint64("epoch", 7).Str("digest", "00").Str("tampered", "rewrite").Msg("epoch published")
		}, "INF epoch 7 published, tampered with: rewrite"},
		"put off": {func(l zerolog.Logger) {
			l.Warn().Uint64("epoch", 7).Err(errors.New("no answer")).Msg("epoch cannot be audited again")
		}, `WRN epoch 7 cannot be audited again error="no answer"`},
		"something else": {func(l zerolog.Logger) {
			l.Warn().Uint64("epoch", 7).Int64("bytes", 7).Float64("read_seconds", 1).Msg("the disk is full")
		}, "WRN the disk is full bytes=7 epoch=7"},
		"another's epoch": {func(l zerolog.Logger) { l.Warn().Str("epoch", "x").Msg("epoch what") }, "WRN epoch what epoch=x"},
		"no message":      {func(l zerolog.Logger) { l.Warn().Int("n", 1).Send() }, "WRN n=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			c.log(zerolog.New(newConsole(&out, false)))
			if got := strings.TrimPrefix(strings.TrimSpace(out.String()), "<nil> "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
