package validator

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/ktaudit/ktaudit/internal/wire"
)

// Elements are kept as short records, in buckets by the leading bits of their labels, in the order
// in which they came. A record takes fewer bytes than the element's encoding, so that a proof in
// memory is never larger than a proof in transit. Its layout: index uint32, bits uint16 with the
// top bit set if inserted, n uint8, value [32], label [n].
const (
	recordHead   = 4 + 2 + 1 + DigestSize
	recordMax    = recordHead + labelSize
	insertedFlag = 1 << 15

	// A proof starts as one bucket. At spreadAt elements it is spread over 1 << bucketBits buckets.
	// One that ends before that is spread over 1 << shortBits if it has shortAt elements, so that
	// all cores have work.
	bucketBits, spreadAt = 11, 32768
	shortBits, shortAt   = 4, 4096

	// Slabs come in four sizes: 16 kB, and four times as much each. What proofs of up to about a
	// hundred thousand elements take is kept for the next ones.
	slabMin, slabSizes, keepSlabs = 16 << 10, 4, 8
	// Chunks come in four sizes: 512 bytes, and twice as much each. What is left of the one being
	// filled is thus no more than the full ones take, and 4 kB for each bucket at most.
	chunkMin, chunkSizes = 512, 4
)

// freeSlabs are those that nobody uses, by size, as pointers to slices.
var freeSlabs [slabSizes]sync.Pool

// record is a record's place in a chunk, as long as the longest record. What follows a shorter one
// is the next record, or unused.
type record [recordMax]byte

// recordAt is the record at an offset of a chunk, in which room left recordMax bytes for it.
func recordAt(chunk []byte, at int) *record { return (*record)(chunk[at:cap(chunk)]) }

func (r *record) index() int     { return int(binary.LittleEndian.Uint32(r[:])) }
func (r *record) bits() int      { return int(binary.LittleEndian.Uint16(r[4:]) &^ insertedFlag) }
func (r *record) inserted() bool { return r[5]&(insertedFlag>>8) != 0 }
func (r *record) value() []byte  { return r[recordHead-DigestSize : recordHead] }
func (r *record) label() []byte  { return r[recordHead : recordHead+int(r[6])] }
func (r *record) size() int      { return recordHead + int(r[6]) }

// put makes r the record of an element, which is the index-th of the proof. It may write over all
// of r.
func (r *record) put(e *wire.Element, index int) {
	binary.LittleEndian.PutUint32(r[:], uint32(index))
	length := uint16(e.Bits)
	if e.Inserted {
		length |= insertedFlag
	}
	binary.LittleEndian.PutUint16(r[4:], length)
	r[6] = uint8(len(e.Label))
	copy(r.value(), e.Value[:DigestSize])
	if label := e.Label; cap(label) >= labelSize {
		copy(r[recordHead:], label[:labelSize]) // quicker than as many as there are
	} else {
		copy(r[recordHead:], label)
	}
}

// fullLabel sets l to the label with all its bits.
func (r *record) fullLabel(l *label) {
	n := 8 * int(r[6])
	l.length = int32(r.bits())
	l.words = [labelSize / 8]uint64{r.key()}
	for i := 1; 64*i < n; i++ {
		l.words[i] = binary.BigEndian.Uint64(r[recordHead+8*i:]) & leading(n-64*i)
	}
}

// key is the first 64 bits of the label.
func (r *record) key() uint64 {
	return binary.BigEndian.Uint64(r[recordHead:]) & leading(8*int(r[6]))
}

// leadingBits returns the first 64 bits of a label, of which those past its end are zero. It may
// read what follows the label in its memory, which is quicker than to read up to its end.
func leadingBits(label []byte) uint64 {
	if cap(label) >= 8 {
		return binary.BigEndian.Uint64(label[:8]) & leading(8*len(label))
	}
	var key uint64
	for i, b := range label {
		key |= uint64(b) << (56 - 8*i)
	}
	return key
}

// bucket holds the records whose labels share their leading bits. Chunks that a worker has are
// never written again: later records go into new chunks.
type bucket struct {
	chunks [][]byte // full ones
	open   []byte   // the one being filled
	count  int
	sent   bool // handed over to a worker
	stale  bool // grown since
}

// records are all elements of one proof so far.
type records struct {
	buckets []bucket
	slab    []byte    // unused rest of the newest slab
	slabs   []*[]byte // all of them, but for those after keepSlabs
	begun   int       // how many there are
	held    int64     // size of all slabs
	count   int
	largest int // count of a bucket

	mu   sync.Mutex
	free [chunkSizes][][]byte // chunks given back, by size
}

func newRecords() *records { return &records{buckets: make([]bucket, 1)} }

// bucketOf returns the bucket of an element with these leading label bits.
func (rs *records) bucketOf(key uint64) int {
	return int(key >> 1 >> (63 - bits.Len(uint(len(rs.buckets)-1))))
}

// add keeps an element and returns the bucket it went to.
func (rs *records) add(e *wire.Element) int {
	if rs.count == spreadAt {
		rs.spread(bucketBits)
	}
	i := rs.bucketOf(leadingBits(e.Label))
	b := &rs.buckets[i]
	rs.room(b, recordHead+len(e.Label)).put(e, rs.count)
	rs.count++
	return i
}

// memory is how many bytes the records take, with what so many workers take to sort them: two
// entries for each record of the bucket that a worker has, and together no more than for all
// records, none of which is smaller. What was recycled counts, whether it is in use again or not.
func (rs *records) memory(workers int) int64 {
	return rs.held + min(rs.held, int64(workers)*int64(rs.largest)*2*entryBytes)
}

// layOut makes the buckets that a proof of so many elements ends with, without any records.
func (rs *records) layOut(count int) {
	rs.count = count
	switch {
	case count > spreadAt:
		rs.buckets = make([]bucket, 1<<bucketBits)
	case count >= shortAt:
		rs.buckets = make([]bucket, 1<<shortBits)
	}
}

// room makes space for a record of n bytes in b. What follows them in the result is still unused.
func (rs *records) room(b *bucket, n int) *record {
	if cap(b.open)-len(b.open) < recordMax {
		b.closeChunk()
		b.open = rs.chunk(min(len(b.chunks), chunkSizes-1))
	}
	if b.sent {
		b.stale = true
	}
	at := len(b.open)
	b.open = b.open[:at+n]
	b.count++
	rs.largest = max(rs.largest, b.count)
	return recordAt(b.open, at)
}

// closeChunk ends the chunk being filled.
func (b *bucket) closeChunk() {
	if len(b.open) > 0 {
		b.chunks = append(b.chunks, b.open)
	}
	b.open = nil
}

func (rs *records) chunk(size int) []byte {
	if c := rs.recycled(size); c != nil {
		return c
	}
	n := chunkMin << size
	if len(rs.slab) < n {
		rs.newSlab()
	}
	c := rs.slab[:0:n]
	rs.slab = rs.slab[n:]
	return c
}

// newSlab begins another slab, which may hold what others have written.
func (rs *records) newSlab() {
	size := min(rs.begun, slabSizes-1)
	slab, ok := freeSlabs[size].Get().(*[]byte)
	if !ok {
		made := make([]byte, slabMin<<(2*size))
		slab = &made
	}
	if rs.begun++; len(rs.slabs) < keepSlabs {
		rs.slabs = append(rs.slabs, slab)
	}
	rs.slab = *slab
	rs.held += int64(len(*slab))
}

// giveBack gives back the memory of records that nobody looks at any more.
func giveBack(slabs []*[]byte) {
	for _, slab := range slabs {
		freeSlabs[bits.Len(uint(len(*slab)/slabMin))/2].Put(slab)
	}
}

// recycled returns a recycled chunk, or nil if there is none.
func (rs *records) recycled(size int) []byte {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	free := rs.free[size]
	if len(free) == 0 {
		return nil
	}
	rs.free[size] = free[:len(free)-1]
	return free[len(free)-1]
}

// recycle frees a snapshot's memory for other records. Nobody may use the snapshot any more. Any
// goroutine may call it.
func (rs *records) recycle(s snapshot) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i, c := range s.chunks {
		size := min(i, chunkSizes-1)
		rs.free[size] = append(rs.free[size], c[:0])
	}
}

// spread moves everything from the one bucket to 1 << bucketBits.
func (rs *records) spread(bucketBits int) {
	all, before := &rs.buckets[0], rs.slabs
	all.closeChunk()
	rs.buckets, rs.largest, rs.slab, rs.slabs = make([]bucket, 1<<bucketBits), 0, nil, nil
	for _, chunk := range all.chunks {
		for at := 0; at < len(chunk); {
			r := recordAt(chunk, at)
			*rs.room(&rs.buckets[rs.bucketOf(r.key())], r.size()) = *r
			at += r.size()
		}
	}
	giveBack(before)
}

// snapshot is a bucket as a worker sees it: its number, and its records at the time of handOver.
type snapshot struct {
	bucket int
	chunks [][]byte
	count  int
}

// handOver returns all that bucket i holds now, also what was handed over before: a bucket whose
// chunks were recycled must not be handed over again.
func (rs *records) handOver(i int) snapshot {
	b := &rs.buckets[i]
	b.closeChunk()
	b.sent, b.stale = true, false
	return snapshot{bucket: i, chunks: b.chunks[:len(b.chunks):len(b.chunks)], count: b.count}
}
