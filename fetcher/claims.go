package fetcher

import (
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

const (
	// maxStrays is how many strays are named, maxStrayLength how many bytes of each name are: what
	// a verdict has room for.
	maxStrays      = verdict.MaxStrays
	maxStrayLength = verdict.MaxStrayBytes
)

// Strays are objects under an epoch that claim nothing which its batch does not.
type Strays struct {
	// Names are the first keys in the order of the listing, at most 10. Each is safe to show and
	// cut to 200 bytes.
	Names []string
	// More is how many further ones were seen.
	More int
}

// add returns the strays with another one.
func (s Strays) add(key string) Strays {
	if len(s.Names) == maxStrays {
		s.More++
		return s
	}
	s.Names = append(slices.Clip(s.Names), text.Clean(key, maxStrayLength))
	return s
}

// claims is what the objects under an epoch claim, in bounded memory however many there are.
type claims struct {
	epoch uint64

	claimed  bool // a name was claimed
	name     validator.Name
	batch    *blob.ListObject // the first well-formed key that claims it
	keys     []string         // of all that claim any name, as far as they fit
	more     int              // further ones
	first    string           // a key that claims name, and one that claims another
	other    string
	misnamed *NameError
	strays   Strays
}

// add takes note of an object.
func (c *claims) add(entry *blob.ListObject) {
	if isFolder(entry) || isUpload(entry.Key) {
		return
	}
	name, _, err := ParseKey(entry.Key)
	wellFormed := err == nil && name.Epoch == c.epoch
	if err == nil && !wellFormed {
		err = fmt.Errorf("it names epoch %d", name.Epoch)
	}
	if !wellFormed {
		c.misname(entry, err)
		if name, err = ReadKey(entry.Key); err != nil || name.Epoch != c.epoch {
			c.strays = c.strays.add(entry.Key)
			return
		}
	}
	c.claim(name, entry.Key)
	switch {
	case !wellFormed && name == c.name:
		c.strays = c.strays.add(entry.Key)
	case wellFormed && name == c.name && (c.batch == nil || entry.Key < c.batch.Key):
		c.batch = entry
	}
}

// ReadKey reads a key as leniently as the akd crate reads a name. What it takes and ParseKey does
// not is a batch to others all the same.
func ReadKey(key string) (validator.Name, error) {
	rest, _ := cutExtension(key)
	if name, err := validator.ReadName(rest); err == nil {
		return name, nil
	}
	return validator.ReadName(key)
}

// claim takes note of a key that claims a name. Of many, the first in byte order are kept.
func (c *claims) claim(name validator.Name, key string) {
	key = text.Clean(key, maxKeyLength)
	if !c.claimed {
		c.claimed, c.name, c.first = true, name, key
	}
	if name != c.name && c.other == "" {
		c.other = key
	}
	at, _ := slices.BinarySearch(c.keys, key)
	if at < maxEvidence {
		c.keys = slices.Insert(c.keys, at, key)
	} else {
		c.more++
	}
	if len(c.keys) > maxEvidence {
		c.keys = c.keys[:maxEvidence]
		c.more++
	}
}

// misname takes note of an object that may be all that the log published.
func (c *claims) misname(entry *blob.ListObject, err error) {
	if c.misnamed == nil {
		c.misnamed = &NameError{Epoch: c.epoch, Key: text.Clean(entry.Key, maxKeyLength), Err: cleaned(err)}
	}
	if entry.ModTime.After(c.misnamed.ModTime) {
		c.misnamed.ModTime = entry.ModTime
	}
}

// object is the batch, or an error for what else was claimed; neither if nothing was.
func (c *claims) object(truncated bool) (Object, error) {
	switch {
	case c.equivocal():
		return Object{}, c.equivocation()
	case truncated: // there may be another batch among the objects that were not listed
		return Object{}, fmt.Errorf("epoch %d: more than %d objects are under it, of which one may be another batch: %w", c.epoch, maxKeys, ErrCrowded)
	case c.batch != nil:
		object := Object{Key: c.batch.Key, Name: c.name, Size: c.batch.Size, ModTime: c.batch.ModTime, Strays: c.strays}
		_, object.Extension = cutExtension(object.Key)
		c.batch.As(&object.ETag)
		object.ETag = shortETag(object.ETag)
		return object, nil
	case c.misnamed != nil:
		return Object{}, c.misnamed.with(c.strays)
	}
	return Object{}, nil
}

// equivocal reports whether two objects claim different names.
func (c *claims) equivocal() bool { return c.other != "" }

// equivocation has both names among its keys, however many objects claim one of them.
func (c *claims) equivocation() *EquivocationError {
	all := len(c.keys) + c.more
	keys := slices.DeleteFunc(c.keys, func(key string) bool { return key == c.first || key == c.other })
	keys = append(keys[:min(len(keys), maxEvidence-2)], c.first, c.other)
	slices.Sort(keys)
	e := &EquivocationError{Epoch: c.epoch, Keys: keys, More: all - len(keys), Strays: Strays{More: c.strays.More}}
	for _, name := range c.strays.Names {
		// An object that was taken for a stray until another one claimed other digests is evidence.
		if !slices.ContainsFunc(keys, func(key string) bool { return text.Clean(key, maxStrayLength) == name }) {
			e.Strays.Names = append(e.Strays.Names, name)
		}
	}
	return e
}
