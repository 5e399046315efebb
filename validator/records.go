package validator

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Elements are kept as short records in buckets by their label's leading bits, in the order in which they came. A
// record takes fewer bytes than the element's encoding, so that a proof in memory is never larger than a proof in
// transit. Its layout: index uint32, bits uint16 with the top bit set when inserted, n uint8, value [32], label [n].
const (
	recordHead   = 4 + 2 + 1 + DigestSize
	recordMax    = recordHead + labelSize
	insertedFlag = 1 << 15

	// A proof starts as one bucket. When it has had spreadAt elements it is spread over 1 << bucketBits of them; one that
	// ends before that is spread over 1 << fewBits, if it has fewAt elements, so that all cores have work.
	bucketBits, spreadAt = 11, 32768
	fewBits, fewAt       = 4, 4096

	slabMin, slabMax = 16 << 10, 1 << 20
	// Chunks come in four sizes: 512 bytes, and four times as much each.
	chunkMin, chunkSizes = 512, 4
)

type record []byte

func (r record) index() int     { return int(binary.LittleEndian.Uint32(r)) }
func (r record) bits() int      { return int(binary.LittleEndian.Uint16(r[4:]) &^ insertedFlag) }
func (r record) inserted() bool { return r[5]&(insertedFlag>>8) != 0 }
func (r record) value() []byte  { return r[7 : 7+DigestSize] }
func (r record) label() []byte  { return r[recordHead : recordHead+int(r[6])] }
func (r record) size() int      { return recordHead + int(r[6]) }

// key is the first 64 bits of the label.
func (r record) key() uint64 { return leadingBits(r.label()) }

func leadingBits(label []byte) uint64 {
	if len(label) >= 8 {
		return binary.BigEndian.Uint64(label)
	}
	var key uint64
	for i, b := range label {
		key |= uint64(b) << (56 - 8*i)
	}
	return key
}

// bucket holds the records whose labels share their leading bits. Chunks that have been handed to a worker are never
// written again; what comes later goes into new ones.
type bucket struct {
	chunks [][]byte // full ones
	open   []byte   // the one being filled
	count  int
	sent   bool // a worker has had it once
	stale  bool // something came after that
}

// records are all elements of one proof so far.
type records struct {
	buckets []bucket
	slab    []byte // unused rest of the newest slab
	grown   int    // size of the newest slab
	count   int

	mu   sync.Mutex
	free [chunkSizes][][]byte // chunks given back, by size
}

func newRecords() *records { return &records{buckets: make([]bucket, 1)} }

// bucketOf returns which bucket an element with these leading label bits belongs to.
func (rs *records) bucketOf(key uint64) int {
	return int(key >> 1 >> (63 - bits.Len(uint(len(rs.buckets)-1))))
}

// add keeps an element and returns the bucket it went to.
func (rs *records) add(e *element) int {
	if rs.count == spreadAt {
		rs.spread(bucketBits)
	}
	i := rs.bucketOf(leadingBits(e.label))
	b := &rs.buckets[i]
	rec := rs.room(b, recordHead+len(e.label))
	binary.LittleEndian.PutUint32(rec, uint32(rs.count))
	length := uint16(e.bits)
	if e.inserted {
		length |= insertedFlag
	}
	binary.LittleEndian.PutUint16(rec[4:], length)
	rec[6] = uint8(len(e.label))
	copy(rec[7:], e.value)
	copy(rec[recordHead:], e.label)
	rs.count++
	return i
}

// room makes space for a record of n bytes in b.
func (rs *records) room(b *bucket, n int) []byte {
	if cap(b.open)-len(b.open) < n {
		b.seal()
		b.open = rs.chunk(min(len(b.chunks), chunkSizes-1))
	}
	if b.sent {
		b.stale = true
	}
	at := len(b.open)
	b.open = b.open[:at+n]
	b.count++
	return b.open[at:]
}

// seal ends the chunk being filled.
func (b *bucket) seal() {
	if len(b.open) > 0 {
		b.chunks = append(b.chunks, b.open)
	}
	b.open = nil
}

func (rs *records) chunk(size int) []byte {
	if c := rs.reused(size); c != nil {
		return c
	}
	n := chunkMin << (2 * size)
	if len(rs.slab) < n {
		rs.grown = min(max(4*rs.grown, slabMin, n), slabMax)
		rs.slab = make([]byte, rs.grown)
	}
	c := rs.slab[:0:n]
	rs.slab = rs.slab[n:]
	return c
}

// reused returns a chunk that was given back, or nil.
func (rs *records) reused(size int) []byte {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	free := rs.free[size]
	if len(free) == 0 {
		return nil
	}
	rs.free[size] = free[:len(free)-1]
	return free[len(free)-1]
}

// giveBack frees a run's memory for other records. Nobody may use the run any more. It may be called by any goroutine.
func (rs *records) giveBack(r run) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, c := range r.chunks {
		size := min(i, chunkSizes-1)
		rs.free[size] = append(rs.free[size], c[:0])
	}
}

// spread moves everything from the one bucket to 1 << bits.
func (rs *records) spread(bits int) {
	all := &rs.buckets[0]
	all.seal()
	rs.buckets = make([]bucket, 1<<bits)
	for _, chunk := range all.chunks {
		for len(chunk) > 0 {
			rec := record(chunk[:record(chunk).size()])
			copy(rs.room(&rs.buckets[rs.bucketOf(rec.key())], len(rec)), rec)
			chunk = chunk[len(rec):]
		}
	}
}

// run is a bucket as a worker sees it: its number and its records when it was handed over.
type run struct {
	bucket int
	chunks [][]byte
	count  int
}

// take hands over what bucket i holds now. A bucket that was handed over before is handed over whole, so this and giveBack
// exclude each other.
func (rs *records) take(i int) run {
	b := &rs.buckets[i]
	b.seal()
	b.sent, b.stale = true, false
	return run{bucket: i, chunks: b.chunks[:len(b.chunks):len(b.chunks)], count: b.count}
}
