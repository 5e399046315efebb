package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/reload"
	"github.com/rs/zerolog"
)

// Timeouts of the API's connections. What is streamed sets a deadline of its own as it goes.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 2 * time.Minute
	idleTimeout   = time.Minute
)

// Bounds of what all clients together can hold open.
const (
	maxConnections = 4096
	maxFromAddress = maxConnections / 4
	maxStreams     = 100 // of one HTTP/2 connection
	maxHeaderBytes = 16 << 10
)

// apiServer serves the API over HTTP, with TLS if there is a certificate.
type apiServer struct {
	http        *http.Server
	listener    net.Listener
	certificate *reload.Files[*tls.Certificate] // nil: no TLS
	log         zerolog.Logger
}

// newAPIServer reads the certificate and listens; the caller gives it a handler, and runs or closes
// it. Who may post shows a client certificate in the handshake, which takes any: whether it is
// admitted is a matter of the log that is posted to.
func newAPIServer(ctx context.Context, s config.Serve, certificates bool, log zerolog.Logger) (*apiServer, error) {
	server := &apiServer{log: log}
	server.http = &http.Server{
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: stdlog.New(debugLines{log}, "", 0),
	}
	if s.Certificate != "" {
		if err := server.secure(s, certificates); err != nil {
			return nil, err
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve.listen: %w", listenHint(err, "--api-listen"))
	}
	bounded := newBoundedListener(listener, maxConnections, maxFromAddress)
	server.listener, server.http.ConnState = bounded, bounded.changed
	return server, nil
}

// secure has the server speak TLS.
func (s *apiServer) secure(c config.Serve, certificates bool) error {
	failed := func(err error) {
		s.log.Error().Err(err).Msg("new certificate cannot be used: the old one stays in use")
	}
	pair := func(contents [][]byte) (*tls.Certificate, error) {
		c, err := tls.X509KeyPair(contents[0], contents[1])
		return &c, err
	}
	var err error
	if s.certificate, err = reload.New(pair, failed, c.Certificate, c.CertificateKey); err != nil {
		return fmt.Errorf("serve.certificate: %w", err)
	}
	s.http.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, _ := s.certificate.Get() // the last good one
			return c, nil
		},
	}
	if certificates {
		s.http.TLSConfig.ClientAuth = tls.RequestClientCert
	}
	return nil
}

// origin is the configured one, or that of a process tried out on this machine.
func (s *apiServer) origin(configured string) string {
	if configured != "" {
		return configured
	}
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	if s.certificate != nil {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}

// close ends a server that may not have run.
func (s *apiServer) close() {
	_ = s.http.Close()
	_ = s.listener.Close()
}

// run serves until ctx ends, and then gives the requests under way some time.
func (s *apiServer) run(ctx context.Context, grace time.Duration) error {
	failed := make(chan error, 1)
	go func() {
		if s.certificate != nil {
			failed <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		failed <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn().Stringer("after", grace).Msg("some requests are not answered yet, and are cut off")
		err = s.http.Close()
	}
	return err
}

// debugLines writes what net/http says of single connections, such as failed handshakes.
type debugLines struct{ log zerolog.Logger }

func (d debugLines) Write(p []byte) (int, error) {
	d.log.Debug().Msg(string(p))
	return len(p), nil
}
