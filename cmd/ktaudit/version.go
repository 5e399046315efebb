package main

import (
	"runtime"
	"runtime/debug"
)

// version is set by the linker in builds without version control (-ldflags "-X
// main.version=v1.2.3").
var version string

type versionCmd struct{}

func (versionCmd) Help() string {
	return `Examples:
  ktaudit version
  ktaudit version --json`
}

// build describes this program.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"commit_time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// software is how this program signs its verdicts.
func software() string { return "ktaudit " + buildInfo().Version }

// Run prints the version.
func (versionCmd) Run(a *app) error {
	b := buildInfo()
	if a.json {
		return a.object(b)
	}
	a.printf("ktaudit %s\n", b.Version)
	if b.Commit != "" {
		modified := ""
		if b.Modified {
			modified = ", modified"
		}
		a.printf("commit  %s (%s%s)\n", b.Commit, b.Time, modified)
	}
	a.printf("go      %s %s\n", b.Go, b.Platform)
	return nil
}
