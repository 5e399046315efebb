// Package redisurl takes Redis URLs apart, for the configuration, the command line and the queue
// alike.
//
//	redis://[user][:password@]host[:port][/db]          rediss:// is the same with TLS
//	unix://[user][:password@]/path/to/socket[?db=N]
//	redis-sentinel://[user][:password@]host[:port],host…[/db]?master=NAME
//	redis-cluster://[user][:password@]host[:port],host…
//
// net/url accepts no list of hosts and quotes the password in its errors; nothing from here does.
// What the parts mean is left to package queue.
package redisurl

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Schemes are the schemes that Parse knows.
func Schemes() []string {
	return []string{"redis", "rediss", "unix", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"}
}

// ErrScheme says that a text is no URL with one of the Schemes.
var ErrScheme = errors.New("not a Redis URL")

// plainHost is a host with a port, in which there is no room for a password.
var plainHost = lazy(`^([a-zA-Z0-9.-]{1,100}|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$`)

// lazy compiles a pattern when it is first needed, which takes a millisecond.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// Explain says what to write in place of a text that is no URL. It quotes what cannot be a secret
// only.
func Explain(text string) error {
	if plainHost().MatchString(text) {
		return fmt.Errorf("%s is no URL: write redis://%s/0, or rediss://%s/0 for TLS", text, text, text)
	}
	return fmt.Errorf("use embedded, or a URL that begins with %s://", strings.Join(Schemes(), "://, "))
}

// URL is a Redis URL in its parts, which are as they stand in it, escapes included.
type URL struct {
	Scheme   string
	Userinfo string // user:password; empty if there is none
	Hosts    string // with commas between them; empty for a socket
	Path     string // without the slash
	Query    string
	// MayHoldPassword is true also for a password that is not escaped and has a slash or a question
	// mark in it, of which the other parts make no sense.
	MayHoldPassword bool
}

// Parse takes a URL apart; an ErrScheme if it is none.
func Parse(text string) (URL, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	known := false
	for _, s := range Schemes() {
		known = known || s == scheme
	}
	if !ok || !known {
		return URL{}, ErrScheme
	}
	u := URL{Scheme: scheme}
	before, _, hasAt := cutLast(rest, "@")
	rest, u.Query, _ = strings.Cut(rest, "?")
	u.Hosts, u.Path, _ = strings.Cut(rest, "/")
	if i := strings.LastIndexByte(u.Hosts, '@'); i >= 0 {
		u.Userinfo, u.Hosts = u.Hosts[:i], u.Hosts[i+1:]
	}
	u.MayHoldPassword = hasAt && strings.Contains(before, ":") && !u.isPlain()
	return u, nil
}

// plainParts is a URL without userinfo, split by spaces: hosts with ports, a database and a query
// of names and values, in which an @ is part of a value.
var plainParts = lazy(`^([^@:,\[\] ]+|\[[0-9a-fA-F:.%]+\])(:[0-9]+)?(,([^@:,\[\] ]+|\[[0-9a-fA-F:.%]+\])(:[0-9]+)?)* [0-9]* (\w+=[^&]*(&\w+=[^&]*)*)?$`)

// isPlain reports whether the parts can only be hosts, a database and a query.
func (u URL) isPlain() bool {
	return u.Userinfo == "" && plainParts().MatchString(u.Hosts+" "+u.Path+" "+u.Query)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// IsTLS reports whether the connection is to be encrypted.
func (u URL) IsTLS() bool { return strings.HasPrefix(u.Scheme, "rediss") }
