package page

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/page/documents"

	"filippo.io/torchwood"

	"github.com/ktaudit/ktaudit/transparency"
)

// maxKeptFile is how large a file of a verdict log is at most that is kept in memory.
const maxKeptFile = 64 << 10

// keptFor is how long it is kept: a tile that somebody damaged, and somebody restored, is not shown
// as it was for ever.
const keptFor = time.Hour

// file is one of the plain files of a verdict log. Whether there is one is asked of the audit store
// each time: what is not there may be there in a second.
func (p *Page) file(ctx context.Context, namespace string, kind transparency.Kind, name string) (*documents.Document, error) {
	l := p.find(namespace)
	isTile := isTilePath(name)
	if l == nil || kind != transparency.Verdicts && kind != transparency.Events || name != "checkpoint" && !isTile {
		return nil, ErrNoDocument
	}
	key := fmt.Sprintf("%s/%s/%s", namespace, kind, name)
	data, ok := p.plain.Get(key, p.now())
	if !ok {
		if err := p.spend(p.files, 2); err != nil { // a part of a tile may have to be cut from the full one
			return nil, err
		}
		var err error
		if data, err = transparency.Open(p.c.Store, namespace, kind).File(ctx, name); err != nil {
			if errors.Is(err, transparency.ErrNoCheckpoint) {
				err = ErrNoDocument
			}
			return nil, err
		}
		switch {
		case !isTile:
			p.plain.Put(key, data, p.now().Add(p.c.Every))
		case len(data) <= maxKeptFile:
			p.plain.Put(key, data, p.now().Add(keptFor))
		}
	}
	if !isTile {
		return documents.New("checkpoint", documents.TypeText, documents.ForSeconds, data), nil
	}
	d := documents.New("tile", "application/octet-stream", documents.ForEver, data)
	return d, nil
}

// isTilePath reports whether a path is that of a tile as C2SP has it.
func isTilePath(name string) bool {
	_, err := torchwood.ParseTilePath(name)
	return err == nil && strings.HasPrefix(name, "tile/") && !slices.Contains(strings.Split(name, "/"), "..")
}
