package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
)

type healthCmd struct {
	Config  string        `group:"log" placeholder:"FILE" help:"Configuration file whose listen is asked."`
	Listen  string        `group:"output" placeholder:"ADDRESS" help:"Address that the process serves its health on, in place of listen in the configuration file."`
	Ready   bool          `group:"output" help:"Ask whether it can work (/readyz), not only whether it is alive (/healthz)."`
	Timeout time.Duration `group:"limits" default:"5s" placeholder:"DURATION" help:"How long to wait for an answer. By default 5s."`
}

func (healthCmd) Help() string {
	return `Asks a process that was started with --listen, on this machine or another one, whether it is alive, or with --ready whether
it can work: whether Redis and the audit store answer. It is for Docker's HEALTHCHECK and for scripts: the image has no curl.

Exit status: 0 it is; 1 it says that it is not, or it does not answer; 2 it could not be asked, for want of an address.

Do not restart a process because it is not ready: that brings back no store.

Examples:
  ktaudit health --listen 127.0.0.1:9464
  ktaudit health --config ktaudit.yaml --ready
  KTAUDIT_LISTEN=:9464 ktaudit health --json`
}

// health is what the command prints with --json.
type health struct {
	Address string `json:"address"`
	Path    string `json:"path"`
	Healthy bool   `json:"healthy"`
	Status  int    `json:"status,omitempty"`
	Answer  string `json:"answer,omitempty"`
	Error   string `json:"error,omitempty"`
}

// maxHealthBytes bounds an answer, which has a line for each dependency and each log that stands
// still.
const maxHealthBytes = 64 << 10

// Run asks, prints the answer and returns errFound if it is a bad one.
func (c healthCmd) Run(ctx context.Context, a *app) error {
	address, err := c.address()
	if err != nil {
		return err
	}
	h := health{Address: address, Path: "/healthz"}
	if c.Ready {
		h.Path = "/readyz"
	}
	asking, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	h.Status, h.Answer, err = askHealth(asking, address, h.Path)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case asking.Err() != nil:
		h.Error = "no answer within " + c.Timeout.String()
	case err != nil:
		h.Error = text.Clean(err.Error(), maxErrorLine)
	}
	h.Healthy = err == nil && h.Status == http.StatusOK
	if !a.json {
		h.print(a)
	} else if err := a.object(h); err != nil {
		return err
	}
	if !h.Healthy {
		return errFound
	}
	return nil
}

func (h health) print(a *app) {
	if h.Error != "" {
		a.printf("%s%s does not answer: %s\n", h.Address, h.Path, h.Error)
		return
	}
	if !h.Healthy {
		a.printf("%s%s answers with status %d:\n", h.Address, h.Path, h.Status)
	}
	for line := range strings.Lines(h.Answer) {
		a.printf("%s\n", text.Clean(strings.TrimSuffix(line, "\n"), maxErrorLine))
	}
}

// address is where to ask.
func (c healthCmd) address() (string, error) {
	address := c.Listen
	if address == "" && c.Config != "" {
		settings, err := config.Load(c.Config)
		if err != nil {
			return "", err
		}
		if address = settings.Listen; address == "" {
			return "", fmt.Errorf("%s has no listen, so its processes serve no health: add listen, such as 127.0.0.1:9464, or give --listen", c.Config)
		}
	}
	if address == "" {
		return "", errors.New("where to ask is not known: give --listen, such as 127.0.0.1:9464, as the process has it, or --config")
	}
	_, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return "", fmt.Errorf("--listen: %q is not an address such as 127.0.0.1:9464 or :9464", address)
	case !isPort(port):
		return "", fmt.Errorf("--listen: %.60q is no port: give a number of at most 65535", port)
	case port == "" || port == "0":
		return "", fmt.Errorf("--listen: %s names no port: give the one that the process logs when it begins to serve metrics", address)
	case c.Timeout <= 0:
		return "", fmt.Errorf("--timeout=%v leaves no time to answer: give more", c.Timeout)
	}
	return address, nil
}

// isPort reports whether a port is one, or empty.
func isPort(port string) bool {
	if port == "" {
		return true
	}
	_, err := net.LookupPort("tcp", port) // which asks nobody
	return err == nil
}

// askHealth asks the process that listens on address, which net.Dial takes as net.Listen does: an
// empty or unspecified host is this machine. It asks no proxy and follows no redirect.
func askHealth(ctx context.Context, address, path string) (status int, answer string, err error) {
	client := http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("User-Agent", software())
	response, err := client.Do(request)
	if err != nil {
		return 0, "", cmp.Or(errors.Unwrap(err), err) // without the URL, whose host is not the address
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthBytes))
	return response.StatusCode, string(body), err
}
