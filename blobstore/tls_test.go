package blobstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// wantsCertificate stands before a server, speaks TLS, and lets nobody pass without a certificate
// of a CA.
type wantsCertificate struct {
	*httptest.Server
	shown atomic.Value // the name in the last certificate
}

func newWantsCertificate(t *testing.T, ca *testservers.CA, name, endpoint string) *wantsCertificate {
	t.Helper()
	target, err := url.Parse(endpoint)
	must(t, err)
	pem, err := os.ReadFile(ca.File)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	certificate, err := tls.LoadX509KeyPair(ca.Issue(t, name))
	must(t, err)
	p := &wantsCertificate{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	if name != "127.0.0.1" {
		proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }} // under its own name
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.shown.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		proxy.ServeHTTP(w, r)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// A service that only lets pass who shows a certificate is reached by the files that a URL names.
// They may be replaced while it is in use.
func TestServicesWithClientCertificates(t *testing.T) { // sets the environment
	ca := testservers.NewCA(t)
	for name, start := range map[string]func(t *testing.T) (server *wantsCertificate, bucket string){
		"S3": func(t *testing.T) (*wantsCertificate, string) {
			s := testservers.S3(t)
			plain := s.BucketURL("tls")
			p := newWantsCertificate(t, ca, "127.0.0.1", s.Endpoint())
			return p, strings.Replace(plain, url.QueryEscape(s.Endpoint()), url.QueryEscape(p.URL), 1)
		},
		"Azure": func(t *testing.T) (*wantsCertificate, string) {
			s := testservers.Azure(t)
			plain := s.ContainerURL("tls")
			endpoint, _ := url.Parse(s.Endpoint())
			p := newWantsCertificate(t, ca, "127.0.0.1", "http://"+endpoint.Host)
			https := strings.Replace(plain, "protocol=http", "protocol=https", 1)
			return p, strings.Replace(https, url.QueryEscape(endpoint.Host), url.QueryEscape(p.Listener.Addr().String()), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, bucket := start(t)
			certificate, key := ca.Issue(t, "first")
			believing := "&ca_file=" + url.QueryEscape(ca.File)
			showing := "&certificate=" + url.QueryEscape(certificate) + "&certificate_key=" + url.QueryEscape(key)

			b, err := OpenBucket(t.Context(), bucket+believing+showing)
			must(t, err)
			defer b.Close()
			must(t, b.WriteAll(t.Context(), "key", []byte("value"), nil))
			second, secondKey := ca.Issue(t, "second")
			must(t, errors.Join(os.Rename(secondKey, key), os.Rename(second, certificate)))
			eventually(t, "the new certificate is shown", func() bool {
				server.CloseClientConnections()
				got, err := b.ReadAll(t.Context(), "key")
				if err == nil && string(got) != "value" {
					t.Errorf("%q is read", got)
				}
				return server.shown.Load() == "second"
			})

			if name == "S3" { // the CA may be named as AWS's own programs have it
				t.Setenv("AWS_CA_BUNDLE", ca.File)
				again, err := OpenBucket(t.Context(), bucket+showing)
				must(t, err)
				must(t, again.Close())
				t.Setenv("AWS_CA_BUNDLE", "")
			}

			for text, url := range map[string]string{
				"server_name=": bucket + believing + showing + "&server_name=another.example", "certificate=": bucket + believing, "ca_file=": bucket + showing, "give both": bucket + believing + "&certificate=" + certificate,
			} {
				if _, err := OpenBucket(t.Context(), url); err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v, want %q", url, err, text)
				}
			}
		})
	}
}

// Google is reached by no other address than its own, which a program of the operator's may stand
// behind.
func TestGoogleWithAClientCertificate(t *testing.T) { // sets the environment
	ca, google := testservers.NewCA(t), testservers.Google(t)
	google.BucketURL("tls")
	variable, address, _ := strings.Cut(google.Env()[0], "=")
	server := newWantsCertificate(t, ca, "storage.googleapis.com", "http://"+address)
	t.Setenv(variable, "")
	certificate, key := ca.Issue(t, "first")
	l, err := parse("gs://tls?anonymous=true&ca_file=" + ca.File + "&certificate=" + certificate + "&certificate_key=" + key)
	must(t, err)
	transport, err := l.transport()
	must(t, err)
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	b, err := openGoogle(t.Context(), l.url, transport)
	must(t, err)
	defer b.Close()
	must(t, b.WriteAll(t.Context(), "key", []byte("value"), nil))
	if got, err := b.ReadAll(t.Context(), "key"); err != nil || string(got) != "value" || server.shown.Load() != "first" {
		t.Errorf("%q is read, %v, and %v was shown", got, err, server.shown.Load())
	}
}

// Settings that have no effect are mistakes.
func TestTLSWithoutTLS(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"s3://bucket?endpoint=http://127.0.0.1:1&ca_file=ca.pem", "s3://bucket?disable_https=true&server_name=a",
		"azblob://c?protocol=http&ca_file=ca.pem", "azblob://c?localemu=true&protocol=http&certificate=a&certificate_key=b",
		"gs://bucket?grpc=true&ca_file=ca.pem", "gs://bucket?grpc=1&ca_file=ca.pem", "gs://bucket?zonal=T&ca_file=ca.pem",
		"s3://bucket?endpoint=HTTP://127.0.0.1:1&ca_file=ca.pem", "s3://bucket?disable_https=1&server_name=a",
	} {
		if _, err := OpenBucket(t.Context(), url); err == nil || !strings.Contains(err.Error(), "no effect with") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"file:///tmp?ca_file=ca.pem", "mem://?server_name=a", "s3list+https://host?ca_file=ca.pem"} {
		if _, err := OpenBucket(t.Context(), url); err == nil || !strings.Contains(err.Error(), "unknown parameter") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Nor may the environment lead to a server without TLS.
func TestTLSWithoutTLSByTheEnvironment(t *testing.T) { // sets the environment
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	ca := testservers.NewCA(t).File
	for url, environment := range map[string]map[string]string{
		"s3://bucket?region=us-east-1":  {"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
		"gs://bucket?anonymous=true":    {"STORAGE_EMULATOR_HOST": host},
		"azblob://c?storage_account=a1": {"AZURE_STORAGE_DOMAIN": host, "AZURE_STORAGE_PROTOCOL": "http", "AZURE_STORAGE_IS_LOCAL_EMULATOR": "true", "AZURE_STORAGE_SAS_TOKEN": "sv=1"},
	} {
		t.Run(url, func(t *testing.T) {
			for name, value := range environment {
				t.Setenv(name, value)
			}
			if _, err := OpenBucket(t.Context(), url+"&ca_file="+ca); err == nil || !strings.Contains(err.Error(), "no effect without TLS") {
				t.Errorf("it ends with %v", err)
			}
		})
	}
	if asked > 0 {
		t.Errorf("the server was asked %d times", asked)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
