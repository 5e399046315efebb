package main

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/config"
)

func TestByteSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{
		"1": 1, "4096": 4096, "3KiB": 3 << 10, "512MiB": 512 << 20, "4 GiB": 4 << 30, "2TiB": 2 << 40,
		" 64 MiB": 64 << 20, "512MiB ": 512 << 20, "+1073741824": 1 << 30, "+": 0, "++1": 0, " ": 0,
		"": 0, "0": 0, "-1": 0, "1GB": 0, "1.5GiB": 0, "GiB": 0, "9999999TiB": 0, "9223372036854775808": 0,
	} {
		var got byteSize
		err := got.UnmarshalText([]byte(text))
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is read as %d, error %v, want %d", text, got, err, want)
		}
	}
}

func TestArchiveFlagGoesBeforeConfiguration(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, test := range []struct {
		name   string
		flag   *bool
		config bool
		want   bool
	}{
		{"flag left out", nil, true, true},
		{"flag left out, and no archive", nil, false, false},
		{"--archive", &yes, false, true},
		{"--archive=false", &no, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := auditFlags{Archive: test.flag}
			f.fill(&config.Config{}, config.Namespace{Archive: test.config})
			if *f.Archive != test.want {
				t.Errorf("archive is %v, want %v", *f.Archive, test.want)
			}
		})
	}
}
