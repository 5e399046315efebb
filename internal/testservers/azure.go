package testservers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

const azureAccount = "ktaudittest"

// AzureServer is a running emulator of Azure's blob storage.
type AzureServer struct {
	server
	client *azblob.Client
}

// Azure starts an emulator of Azure's blob storage (Azurite) that ends with the test. Its account's
// credentials go into this process's environment, as those of S3 do.
func Azure(t testing.TB) *AzureServer {
	t.Helper()
	leaveOutIfShort(t)
	s, err := NewAzure()
	must(t, err)
	s.closeWith(t)
	return s
}

// NewAzure is Azure for programs that are not tests. The caller must call Close.
func NewAzure() (*AzureServer, error) {
	binary, err := find("azurite-blob")
	if err != nil {
		return nil, err
	}
	key, err := setAzureCredentials()
	if err != nil {
		return nil, err
	}
	credential, err := azblob.NewSharedKeyCredential(azureAccount, key)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ktaudit-azure-")
	if err != nil {
		return nil, err
	}
	s := &AzureServer{server: server{binary: binary, dir: dir}}
	s.args = func(addr string) []string {
		host, port, _ := net.SplitHostPort(addr)
		return []string{"--blobHost", host, "--blobPort", port, "--location", dir, "--silent", "--disableTelemetry",
			"--skipApiVersionCheck"} // Azure's library is ahead of it
	}
	// A server of another process, which won a race for the port, has another key.
	s.ready = func(ctx context.Context) (err error) {
		if s.client, err = azblob.NewClientWithSharedKeyCredential(s.Endpoint(), credential, nil); err != nil {
			return err
		}
		return s.create(ctx, "ready")
	}
	if err := s.startOnFreePort(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Endpoint is the address of the server's account.
func (s *AzureServer) Endpoint() string { return "http://" + s.addr + "/" + azureAccount }

// ContainerURL is the gocloud URL of a container, which is created when there is none yet. It
// panics if it cannot be created.
func (s *AzureServer) ContainerURL(container string) string {
	if err := s.create(context.Background(), container); err != nil {
		panic(err)
	}
	q := url.Values{"protocol": {"http"}, "domain": {s.addr}, "storage_account": {azureAccount}, "localemu": {"true"}}
	return "azblob://" + container + "?" + q.Encode()
}

func (s *AzureServer) create(ctx context.Context, container string) error {
	_, err := s.client.CreateContainer(ctx, container, nil)
	if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return err
}

// setAzureCredentials makes a key for this process and the servers that it starts, which read it
// from AZURITE_ACCOUNTS.
var setAzureCredentials = sync.OnceValues(func() (key string, err error) {
	var random [64]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	key = base64.StdEncoding.EncodeToString(random[:])
	return key, errors.Join(
		os.Setenv("AZURITE_ACCOUNTS", fmt.Sprint(azureAccount, ":", key)),
		os.Setenv("AZURE_STORAGE_ACCOUNT", azureAccount),
		os.Setenv("AZURE_STORAGE_KEY", key))
})

// Env is the environment, as name=value, in which another process uses the server.
func (s *AzureServer) Env() []string {
	return []string{"AZURE_STORAGE_ACCOUNT=" + azureAccount, "AZURE_STORAGE_KEY=" + os.Getenv("AZURE_STORAGE_KEY")}
}
