package blobstore

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

const azureHint = "set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or run `az login`"

func azureCredentials() bool {
	for _, name := range []string{"AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
		"AZURE_STORAGEBLOB_CONNECTIONSTRING"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// openAzure says at once when nothing names the account; whether the credentials are any good the
// first listing shows.
func openAzure(ctx context.Context, u *url.URL, transport *http.Transport) (*blob.Bucket, error) {
	account := azureblob.NewDefaultServiceURLOptions().AccountName
	if account == "" && u.Query().Get("storage_account") == "" {
		return nil, errors.New("no storage account: set AZURE_STORAGE_ACCOUNT, or add storage_account=… to the URL, and " + azureHint)
	}
	opener := azureblob.URLOpener{MakeClient: azureblob.NewDefaultClient, ServiceURLOptions: *azureblob.NewDefaultServiceURLOptions()}
	if transport != nil {
		opener.MakeClient = azureClient(transport)
	}
	return opener.OpenBucketURL(ctx, u)
}

// azureClient is azureblob.NewDefaultClient, which takes no transport: it looks for credentials in
// the same places, in the same order.
func azureClient(transport *http.Transport) func(azureblob.ServiceURL, azureblob.ContainerName) (*container.Client, error) {
	return func(service azureblob.ServiceURL, name azureblob.ContainerName) (*container.Client, error) {
		options := &container.ClientOptions{}
		options.Transport = &http.Client{Transport: transport}
		address, err := url.JoinPath(string(service), string(name))
		if err != nil {
			return nil, err
		}
		account, key := os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY")
		connection := cmp.Or(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), os.Getenv("AZURE_STORAGEBLOB_CONNECTIONSTRING"))
		switch {
		case account != "" && key != "":
			credential, err := container.NewSharedKeyCredential(account, key)
			if err != nil {
				return nil, err
			}
			return container.NewClientWithSharedKeyCredential(address, credential, options)
		case os.Getenv("AZURE_STORAGE_SAS_TOKEN") != "": // which is in the address
			return container.NewClientWithNoCredential(address, options)
		case connection != "":
			return container.NewClientFromConnectionString(connection, string(name), options)
		}
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, err
		}
		return container.NewClient(address, credential, options)
	}
}
