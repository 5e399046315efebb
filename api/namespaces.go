package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/sync/errgroup"
)

func (a *api) info(w http.ResponseWriter, r *http.Request) error {
	i := client.Info{Keys: []client.Key{}, Logs: []string{}}
	for _, k := range a.c.Keys {
		key := client.Key{PublicKey: k.Public()}
		if at := k.NotBefore.UnixMilli(); at > 0 {
			key.NotBefore = uint64(at)
		}
		i.Keys = append(i.Keys, key)
	}
	for _, n := range a.c.Namespaces() {
		i.Logs = append(i.Logs, n.Name)
	}
	return a.sendJSON(w, r, i, notAtAll)
}

const (
	// listTimeout is how long a list waits for what a log takes long to say, maxDescribed for how
	// many logs at once.
	listTimeout  = 5 * time.Second
	maxDescribed = 16
)

// listNamespaces lists all: a log that something is wrong with, or that takes long, costs only
// itself.
func (a *api) listNamespaces(w http.ResponseWriter, r *http.Request) error {
	namespaces := a.c.Namespaces()
	all := client.Namespaces{Namespaces: make([]client.Namespace, len(namespaces))}
	var each errgroup.Group
	each.SetLimit(maxDescribed)
	for i, n := range namespaces {
		each.Go(func() error {
			ctx, cancel := context.WithTimeout(r.Context(), listTimeout)
			defer cancel()
			r := r.WithContext(ctx)
			shown, err := a.describe(r, n)
			if err != nil {
				a.faults.note(r, err)
			}
			all.Namespaces[i] = shown
			return nil
		})
	}
	_ = each.Wait() // there is no error
	return a.sendJSON(w, r, all, notAtAll)
}

func (a *api) showNamespace(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	shown, err := a.describe(r, n)
	if err != nil {
		return err
	}
	return a.sendJSON(w, r, shown, notAtAll)
}

// describe returns what is known of a namespace, also with an error. Where its last verified epoch
// cannot be read, it is left out.
func (a *api) describe(r *http.Request, n Namespace) (client.Namespace, error) {
	shown := client.Namespace{
		Name: n.Name, Status: client.Online, LogDirectory: a.logDirectory(n),
		ReportsURI: "/namespaces/" + n.Name + "/reports", AuditsURI: "/namespaces/" + n.Name + "/audits",
		SignatureVersion: n.Ciphersuite, Ciphersuite: n.Ciphersuite,
	}
	root, err := a.root(r.Context(), n)
	shown.Root = root.String()
	switch {
	case n.Disabled:
		shown.Status = client.Disabled
	case err == nil && root.IsZero() && n.Auditor != nil:
		shown.Status = client.Initialization
	}
	last, headErr := a.head(r.Context(), n)
	if headErr != nil {
		a.faults.note(r, headErr)
	} else if last != nil {
		shown.LastVerifiedEpoch = &last.Epoch
	}
	return shown, err
}

// logDirectory is where clients find a log's proofs. Of this they keep the origin alone, so that
// several logs whose proofs are served here share one, or have host names of their own.
func (a *api) logDirectory(n Namespace) string {
	switch {
	case n.LogDirectory != "" || n.Proofs == nil:
		return n.LogDirectory
	case n.Host == "":
		return a.origin.Scheme + "://" + a.origin.Host
	}
	own := url.URL{Scheme: a.origin.Scheme, Host: n.Host}
	if port := a.origin.Port(); port != "" && own.Port() == "" {
		own.Host += ":" + port
	}
	return own.String()
}

// createNamespace adds a namespace.
func (a *api) createNamespace(w http.ResponseWriter, r *http.Request) error {
	var n client.NewNamespace
	if err := a.readManaged(w, r, &n, "name", "root"); err != nil {
		return err
	}
	if n.Ciphersuite == 0 {
		n.Ciphersuite = n.SignatureVersion
	}
	if n.SignatureVersion == 0 {
		n.SignatureVersion = n.Ciphersuite
	}
	_, rootErr := verdict.ParseAnchor(n.Root)
	switch err := verdict.CheckNamespace(n.Name); {
	case err != nil:
		return malformed("%s", err)
	case rootErr != nil:
		return malformed("the root is not EPOCH/DIGEST: the first epoch to be signed, and its digest")
	case n.LogDirectory != "" && !isHTTPS(n.LogDirectory):
		return malformed("log_directory %.80q is not an https URL", n.LogDirectory)
	case n.Ciphersuite != n.SignatureVersion || n.Ciphersuite != signature.CiphersuiteProtobuf && n.Ciphersuite != signature.CiphersuiteBincode:
		return malformed("signature_version %d, ciphersuite %d: want 1 or 2, and one of them is enough", n.SignatureVersion, n.Ciphersuite)
	}
	err := a.c.Manage.Create(r.Context(), n)
	if errors.Is(err, ErrExists) {
		return &problem{kind: kindExists, detail: fmt.Sprintf("there is a namespace %s", n.Name)}
	}
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/namespaces/"+n.Name)
	return a.sendManaged(w, r, n.Name, http.StatusCreated)
}

func isHTTPS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// changeNamespace disables a namespace, which is all that can change.
func (a *api) changeNamespace(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	var change client.NamespaceChange
	if err := a.readManaged(w, r, &change, "status"); err != nil {
		return err
	}
	if change.Status != client.Disabled {
		return malformed("the status %.40q: only %s can be set", change.Status, client.Disabled)
	}
	if err := a.c.Manage.Disable(r.Context(), n.Name); err != nil {
		return err
	}
	return a.sendManaged(w, r, n.Name, http.StatusOK)
}

func (a *api) readManaged(w http.ResponseWriter, r *http.Request, v any, required ...string) error {
	if _, err := a.c.Manage.Who.admit(r); err != nil {
		return err
	}
	body, err := readBody(w, r, maxPost)
	if err != nil {
		return err
	}
	return parse(body, v, required...)
}

// sendManaged answers with a namespace as it is now.
func (a *api) sendManaged(w http.ResponseWriter, r *http.Request, name string, status int) error {
	for _, n := range a.c.Namespaces() {
		if n.Name != name {
			continue
		}
		shown, err := a.describe(r, n)
		if err != nil {
			return err
		}
		data, err := encode(shown)
		if err != nil {
			return err
		}
		return sendChanged(w, data, status)
	}
	return fmt.Errorf("namespace %s was changed, and is not among those that are present", name)
}
