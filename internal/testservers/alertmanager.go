package testservers

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// AlertmanagerServer is a running Prometheus Alertmanager. It forgets its alerts when it is
// stopped, as all of them do.
type AlertmanagerServer struct {
	server
}

const alertmanagerConfig = `
route: {receiver: %[1]s, group_by: [...], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}
receivers: [{name: %[1]s, webhook_configs: [{url: %[2]q, send_resolved: true}]}]
`

// Alertmanager starts an Alertmanager that ends with the test and tells a webhook, at once, what
// begins and what ends.
func Alertmanager(t testing.TB, webhook string) *AlertmanagerServer {
	t.Helper()
	leaveOutIfShort(t)
	s, err := newAlertmanager(webhook)
	must(t, err)
	s.closeWith(t)
	return s
}

func newAlertmanager(webhook string) (*AlertmanagerServer, error) {
	binary, err := find("alertmanager")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ktaudit-alertmanager-")
	if err != nil {
		return nil, err
	}
	s := &AlertmanagerServer{server{binary: binary, dir: dir}}
	config := filepath.Join(dir, "alertmanager.yml")
	s.args = func(addr string) []string {
		return []string{"--config.file", config, "--storage.path", filepath.Join(dir, "data"), "--web.listen-address", addr,
			"--cluster.listen-address", "", "--log.level", "error"}
	}
	receiver := rand.Text()
	s.ready = func(ctx context.Context) error { return s.answers(ctx, receiver) }
	err = os.WriteFile(config, fmt.Appendf(nil, alertmanagerConfig, receiver, webhook), 0o644)
	if err == nil {
		err = s.startOnFreePort()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// URL is the server's address.
func (s *AlertmanagerServer) URL() string { return "http://" + s.addr }

// answers looks for a receiver only this server has, so that another test's server, which won a
// race for the port, is not taken for this one.
func (s *AlertmanagerServer) answers(ctx context.Context, receiver string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/api/v2/receivers", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err == nil && !strings.Contains(string(body), receiver) {
		err = fmt.Errorf("the server on %s is another one", s.addr)
	}
	return err
}
