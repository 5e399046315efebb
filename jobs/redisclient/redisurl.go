package redisclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/redisurl"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// parseRedisURL reads the URLs that Access documents and returns, beside the options, the URL
// without credentials.
//
// asynq.ParseRedisURI drops the user name and knows no cluster; net/url refuses several hosts and
// quotes the password in its errors. No error from here holds any part of what may be a password.
func parseRedisURL(text string) (o *redis.UniversalOptions, shown string, err error) {
	u, err := redisurl.Parse(text)
	if err != nil {
		return nil, "", redisurl.Explain(text)
	}
	o = &redis.UniversalOptions{
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ContextTimeoutEnabled:    true,
	}
	if err := setCredentials(o, u.Userinfo); err != nil {
		return nil, "", err
	}
	scheme, hosts, path := u.Scheme, u.Hosts, u.Path
	shown = scheme + "://" + hosts
	if scheme == "unix" {
		o.Addrs = []string{"/" + path}
		shown += "/" + path
		path = ""
		if hosts != "" || len(o.Addrs[0]) == 1 {
			return nil, "", errors.New("redis URL: unix:// wants the absolute path of a socket, as in unix:///run/redis.sock")
		}
	} else if o.Addrs, err = redisHosts(hosts, strings.HasSuffix(scheme, "-sentinel")); err != nil {
		return nil, "", err
	}
	if u.IsTLS() {
		// Without a name here each server and each Sentinel is checked under its own.
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if path = strings.TrimSuffix(path, "/"); path != "" {
		shown += "/" + path
	}
	return o, shown, setDatabase(o, scheme, path, u.Query)
}

func setCredentials(o *redis.UniversalOptions, userinfo string) error {
	user, password, _ := strings.Cut(userinfo, ":")
	for _, c := range []struct {
		from string
		to   *string
	}{{user, &o.Username}, {password, &o.Password}} {
		text, err := url.PathUnescape(c.from)
		if err != nil {
			return errors.New("redis URL: user name or password has a % that does not begin an escape; write it %25")
		}
		*c.to = text
	}
	return nil
}

func redisHosts(hosts string, sentinel bool) ([]string, error) {
	port := "6379"
	if sentinel {
		port = "26379"
	}
	var addrs []string
	for _, host := range strings.Split(hosts, ",") {
		if host == "" {
			return nil, errors.New("redis URL has no host")
		}
		name, p, err := net.SplitHostPort(host)
		if err != nil { // no port
			name, p = strings.Trim(host, "[]"), port
		}
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || strings.ContainsAny(name, "/@ ") {
			return nil, errors.New("redis URL: want host:port; are special characters in the password percent-encoded?")
		}
		addrs = append(addrs, net.JoinHostPort(name, p))
	}
	return addrs, nil
}

// setDatabase reads the path and the parameters, of which each scheme has its own.
func setDatabase(o *redis.UniversalOptions, scheme, path, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("redis URL: parameters are not name=value&name=value")
	}
	cluster, sentinel := strings.HasSuffix(scheme, "-cluster"), strings.HasSuffix(scheme, "-sentinel")
	var allowed []string
	switch {
	case scheme == "unix":
		allowed = []string{"db"}
		path = values.Get("db")
	case sentinel:
		allowed = []string{"master", "sentinel_user"}
		o.SentinelUsername = values.Get("sentinel_user")
		if o.MasterName = values.Get("master"); o.MasterName == "" {
			return fmt.Errorf("redis URL: %s:// needs ?master=NAME", scheme)
		}
	case cluster:
		o.IsClusterMode = true
	case len(o.Addrs) > 1:
		return fmt.Errorf("redis URL: %s:// takes one host; for several use redis-sentinel:// or redis-cluster://", scheme)
	}
	for name := range values {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("redis URL: unknown parameter %.40q; %s:// knows %q", name, scheme, allowed)
		}
	}
	if path == "" {
		return nil
	}
	if o.DB, err = strconv.Atoi(path); err != nil || o.DB < 0 {
		return errors.New("redis URL: the database must be a number, as in redis://localhost:6379/0")
	}
	if cluster && o.DB != 0 {
		return errors.New("redis URL: a cluster has only database 0")
	}
	return nil
}
