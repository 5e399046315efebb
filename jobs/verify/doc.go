// Package verify reads a batch and verifies it while it is read, in the memory and with the cores
// that its log may have at that moment.
//
// It promises that a batch, whatever it turns out to be, takes no more memory than was set aside
// for it, and that a fault while it is read is an error: only what is wrong with its bytes is a
// rejection. One that needs more memory than there is, is read in several passes.
//
// It reads a batch once and says what came of that. Whether that is believed, looked at again and
// put on record is the business of package audit; how a batch is found, unpacked and bounded that
// of fetcher, what its proof shows that of validator, and who gets memory when that of share.
package verify
