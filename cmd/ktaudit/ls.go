package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/text"
)

type lsCmd struct {
	remoteFlag
	remoteNamespaceFlag
	Long bool `group:"output" short:"l" help:"Print more of each log than its name."`
}

func (lsCmd) Help() string {
	return `Lists the logs that an auditor knows, with the flags, the environment and the output of plexi.

Examples:
  ktaudit ls -r https://plexi.key-transparency.cloudflare.com --long
  ktaudit ls -r https://auditor.example -n example --json`
}

// Run lists all logs of the auditor, or one.
func (c lsCmd) Run(ctx context.Context, a *app) error {
	if err := missing("ls", "--remote-url=URL", c.RemoteURL); err != nil {
		return err
	}
	auditor, err := c.client()
	if err != nil {
		return err
	}
	all, err := c.ask(ctx, auditor)
	if err != nil {
		return err
	}
	for _, n := range all {
		switch {
		case a.json:
			if err := a.object(n); err != nil {
				return err
			}
		case !c.Long:
			a.printf("%s\n", text.Clean(n.Name, maxShownText))
		default:
			a.printf("%s\n", text.Clean(n.Name, maxShownText))
			l := a.labels(11)
			l.line("Status", n.Status)
			l.line("Ciphersuite", ciphersuiteText(n.Ciphersuite))
			l.line("Root", cmp.Or(n.Root, "-"))
			l.line("Directory", cmp.Or(n.LogDirectory, "-"))
			a.printf("\n\n")
		}
	}
	return nil
}

func (c lsCmd) ask(ctx context.Context, auditor *client.Client) ([]client.Namespace, error) {
	if c.Namespace == "" {
		all, err := auditor.Namespaces(ctx)
		return all.Namespaces, err
	}
	n, err := auditor.Namespace(ctx, c.Namespace)
	if errors.Is(err, client.ErrNotFound) {
		err = fmt.Errorf("%s does not know %s", auditor.URL(), c.Namespace)
	}
	return []client.Namespace{n}, err
}
