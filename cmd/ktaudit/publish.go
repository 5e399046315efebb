package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/page"
	"github.com/ktaudit/ktaudit/page/static"
)

type publishCmd struct {
	storedFlags
	Output string `group:"output" required:"" placeholder:"URL" help:"Bucket or directory to write the page to. A directory is created."`
	URL    string `name:"url" group:"output" placeholder:"URL" help:"Where the page will be found, such as https://audit.example.org/, for its feeds and link previews. By default these have links without a host."`
	Epochs int    `group:"output" default:"1000" placeholder:"N" help:"For how many of the newest epochs of each log there is a page, beside those that something is to be said of. By default ${default}."`
	Every  string `group:"output" placeholder:"DURATION" help:"Publish again and again, with this pause, such as 1m, until stopped. By default once."`
}

func (publishCmd) Help() string {
	return `Writes the public page, which ktaudit serve serves, as plain files to a bucket or directory. Any web server or content network
can serve them, under any path, if it answers for a folder with its index.html. Links are relative. Search, events and zooming to
any range need ktaudit serve; the newest epochs and those that something is to be said of have their pages.

Only what changed is written, the overview last, and nothing is ever removed: pages that are no longer made stay as they are. What is
read from the audit store to sum up numbers over time is kept there, if it can be written.

Examples:
  ktaudit publish --config ktaudit.yaml --output ./site --url https://audit.example.org/
  ktaudit publish --config ktaudit.yaml --output "s3://audit-page?region=us-east-1" --every 1m
  ktaudit publish --namespace example --audit-store ./audit --output ./site --epochs 100`
}

// minPublish keeps a typing mistake from busying a bucket.
const minPublish = time.Second

// Run publishes once, or until ctx ends.
func (c publishCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("publish")
	if err != nil {
		return err
	}
	every, err := c.every()
	if err != nil {
		return err
	}
	if c.Epochs < 0 {
		return errors.New("--epochs is negative: give how many of the newest epochs have a page, or 0")
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	open.add(store.Close)
	output, err := openOutput(ctx, c.Output, &open)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	pages, err := newPage(settings, namespaces, page.Config{Store: store, URL: c.URL, Log: a.log})
	if err != nil {
		return err
	}
	publisher := static.Publisher{Page: pages, Bucket: output, Epochs: c.Epochs, Progress: func(done, total uint64) {
		a.bars.follow("page", "files", done, total)
	}}
	if every == 0 {
		return c.publish(ctx, a, &publisher)
	}
	a.serve(ctx)
	for ctx.Err() == nil {
		if err := c.publish(ctx, a, &publisher); err != nil && ctx.Err() == nil {
			a.log.Error().Err(err).Msg("the page could not be published: what is there stays, and the next round tries again")
		}
		_ = wait.For(ctx, every)
	}
	return nil
}

func (c publishCmd) every() (time.Duration, error) {
	if c.Every == "" {
		return 0, nil
	}
	every, err := units.ParseDuration(c.Every)
	if err == nil && every < minPublish {
		err = fmt.Errorf("%s is too short: want %s or more", units.DurationText(every), units.DurationText(minPublish))
	}
	if err != nil {
		return 0, fmt.Errorf("--every: %w", err)
	}
	return every, nil
}

// publish writes the page once, and says what of it was written. A log that cannot be read is shown
// as such on the page, and fails the command.
func (c publishCmd) publish(ctx context.Context, a *app, p *static.Publisher) error {
	done, err := p.Publish(ctx)
	a.bars.finish()
	if err != nil {
		return err
	}
	if a.json {
		err = a.object(done)
	} else {
		a.printf("%-10s %d, %d of them just now\n", "files", done.Files, done.Written)
		err = a.out.err
	}
	if unread := p.Page.Unread(); err == nil && len(unread) > 0 {
		err = fmt.Errorf("what is on record of %v could not be read: the page says so", unread)
	}
	return err
}
