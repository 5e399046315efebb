package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// initial is BLAKE3's initial value, which it shares with SHA-256.
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// The flags of a block: it is the first one of its chunk, or the last one. Of a message that is one
// chunk, the last block is that of the root (8).
const (
	firstBlock = 1
	lastBlock  = 2 | 8
	blockLen   = 64
)

// permutation is the order in which a round sees the message words of the round before it.
var permutation = [16]int{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}

// mix names one application of BLAKE3's mixing function: four state words and two message words.
type mix struct {
	a, b, c, d int
	x, y       int
}

// halfRounds returns the fourteen steps of the compression. The four mixings of a step (columns,
// then diagonals) are independent of each other.
func halfRounds() [][4]mix {
	var steps [][4]mix
	var words [16]int
	for i := range words {
		words[i] = i
	}
	for range 7 {
		var columns, diagonals [4]mix
		for i := range 4 {
			columns[i] = mix{i, 4 + i, 8 + i, 12 + i, words[2*i], words[2*i+1]}
			diagonals[i] = mix{i, 4 + (i+1)%4, 8 + (i+2)%4, 12 + (i+3)%4, words[8+2*i], words[9+2*i]}
		}
		steps = append(steps, columns, diagonals)
		var next [16]int
		for i, p := range permutation {
			next[i] = words[p]
		}
		words = next
	}
	return steps
}

// tables are the constants that kernels read from memory.
type tables struct {
	initial  operand.Mem // the initial value, a word each
	rotate16 operand.Mem // byte shuffle that rotates 32-bit words right by 16, for 32 bytes
	rotate8  operand.Mem // the same by 8
	lower    operand.Mem // picks quadwords for rows from the lower halves of two registers
	upper    operand.Mem // the same from the upper halves
}

func defineTables(ctx *build.Context) tables {
	words := func(name string, values ...uint32) operand.Mem {
		m := ctx.StaticGlobal(name)
		ctx.DataAttributes(attr.RODATA | attr.NOPTR)
		for i, v := range values {
			ctx.AddDatum(4*i, operand.U32(v))
		}
		return m
	}
	quads := func(name string, values ...uint64) operand.Mem {
		m := ctx.StaticGlobal(name)
		ctx.DataAttributes(attr.RODATA | attr.NOPTR)
		for i, v := range values {
			ctx.AddDatum(8*i, operand.U64(v))
		}
		return m
	}
	rotation := func(name string, bytes uint32) operand.Mem {
		var masks []uint32
		for word := range uint32(8) {
			var mask uint32
			for b := range uint32(4) {
				mask |= (word%4*4 + (b+bytes)%4) << (8 * b)
			}
			masks = append(masks, mask)
		}
		return words(name, masks...)
	}
	return tables{
		initial:  words("initial", initial[:]...),
		rotate16: rotation("rotate16", 2),
		rotate8:  rotation("rotate8", 1),
		// In a two-register permutation, 0 to 7 are the quadwords of the first register and 8 to 15
		// of the second.
		lower: quads("lower", 0, 1, 8, 9, 2, 3, 10, 11),
		upper: quads("upper", 4, 5, 12, 13, 6, 7, 14, 15),
	}
}

// pointers are the general registers that hold a kernel's parameters.
type pointers struct {
	dst, dstOff reg.Register
	halves      [2]half
	scratch     reg.Register  // aligned stack space
	left        reg.GPVirtual // bytes of the messages that are not hashed
	blockLen    reg.GPVirtual // how many of them are in the block
	flags       reg.GPVirtual // the block's
}

// half is where the first or the second 32 bytes of the messages are, and of later ones.
type half struct{ base, off, ahead reg.Register }

// begin opens a kernel for the given number of lanes, with scratch space of size bytes aligned to
// align.
func begin(ctx *build.Context, name string, lanes, size, align int) pointers {
	ctx.Function(name)
	ctx.Doc(
		fmt.Sprintf("%s hashes %d messages of msgLen bytes: the one whose blocks have their first 32", name, lanes),
		"bytes at first[firstOff[i]] and every 64 after it, the others at second[secondOff[i]] likewise,",
		"goes to the 32 bytes at dst[dstOff[i]]. All messages are read before any hash is written. It",
		"checks no bounds. Meanwhile it fetches the halves at first[firstAhead[i]] and",
		"second[secondAhead[i]] into the cache.",
	)
	ctx.Pragma("noescape")
	ctx.SignatureExpr("func(dst *byte, dstOff *uint32, first *byte, firstOff, firstAhead *uint32, " +
		"second *byte, secondOff, secondAhead *uint32, msgLen uint32)")
	param := func(name string) reg.Register { return ctx.Load(ctx.Param(name), ctx.GP64()) }
	p := pointers{
		dst:    param("dst"),
		dstOff: param("dstOff"),
		halves: [2]half{
			{param("first"), param("firstOff"), param("firstAhead")},
			{param("second"), param("secondOff"), param("secondAhead")},
		},
	}
	p.left, p.blockLen, p.flags = ctx.GP32(), ctx.GP32(), ctx.GP32()
	ctx.Load(ctx.Param("msgLen"), p.left)

	// Go aligns stack frames to 8 bytes only. Vectors that cross a cache line take two accesses
	// each.
	scratch := ctx.GP64()
	ctx.LEAQ(ctx.AllocLocal(size+align-8).Offset(align-8), scratch)
	ctx.ANDQ(operand.I8(-align), scratch)
	p.scratch = scratch
	return p
}

// parts are what a kernel does with one block of each message.
type parts struct {
	load  func() // brings the words of the blocks to scratch space
	begin func() // sets the state's words 0 to 11 to those of a first block
	chain func() // the same from what keep has kept
	mix   func() // sets the other words, mixes and folds
	keep  func() // keeps words 0 to 7, the chaining value, where load does not touch them
	store func() // writes them as the hashes
}

// hash emits the loop over the blocks of the messages. It goes straight through a message of one
// block, as nearly all are.
func hash(ctx *build.Context, p pointers, k parts) {
	chained, mix, more := operand.LabelRef("chained"), operand.LabelRef("mix"), operand.LabelRef("more")
	ctx.MOVL(operand.U32(firstBlock), p.flags)
	ctx.Label("block")
	ctx.Comment("Load the blocks and transpose them.")
	k.load()
	ctx.Comment("Which of the blocks are these, and how long are they?")
	ctx.MOVL(operand.U32(blockLen), p.blockLen)
	ctx.CMPL(p.left, operand.U8(blockLen))
	ctx.JHI(operand.LabelRef("whole"))
	ctx.MOVL(p.left, p.blockLen)
	ctx.ORL(operand.U8(lastBlock), p.flags)
	ctx.Label("whole")
	ctx.TESTL(operand.U32(firstBlock), p.flags)
	ctx.JEQ(chained)
	ctx.Comment("Set up the state.")
	k.begin()
	ctx.Label("mix")
	k.mix()
	ctx.CMPL(p.left, operand.U8(blockLen))
	ctx.JHI(more)
	ctx.Comment("Transpose the state back and store the hashes.")
	k.store()
	ctx.VZEROUPPER()
	ctx.RET()

	ctx.Label("chained")
	ctx.Comment("Set up the state with the chaining value.")
	k.chain()
	ctx.JMP(mix)

	ctx.Label("more")
	ctx.Comment("Go on with the next blocks.")
	k.keep()
	for _, half := range p.halves {
		ctx.ADDQ(operand.U8(blockLen), half.base)
	}
	ctx.SUBL(operand.U8(blockLen), p.left)
	ctx.XORL(p.flags, p.flags)
	ctx.JMP(operand.LabelRef("block"))
}

// row loads the offset of message i and returns the address at base that it stands for.
func row(ctx *build.Context, base, offsets reg.Register, i int) operand.Mem {
	off := ctx.GP64()
	ctx.MOVL(operand.Mem{Base: offsets, Disp: 4 * i}, off.As32())
	return operand.Mem{Base: base, Index: off, Scale: 1}
}

// prefetch asks for messages that come after this group: for the first byte of the first half and
// the last byte of the second, since a message that is not aligned lies in two cache lines.
func prefetch(ctx *build.Context, p pointers, lanes int) {
	first, second := p.halves[0], p.halves[1]
	for i := range lanes {
		ctx.PREFETCHT0(row(ctx, first.base, first.ahead, i))
		ctx.PREFETCHT0(row(ctx, second.base, second.ahead, i).Offset(31))
	}
}

// transpose4 emits the transposition of the 4×4 words in each 128-bit part of rows: word j of row i
// becomes word i of row j. The two functions unpack words and quadwords; t is overwritten, the
// result is in rows.
func transpose4(words, quads unpack, rows, t []reg.VecPhysical) {
	words.low(rows[1], rows[0], t[0])
	words.high(rows[1], rows[0], t[1])
	words.low(rows[3], rows[2], t[2])
	words.high(rows[3], rows[2], t[3])
	quads.low(t[2], t[0], rows[0])
	quads.high(t[2], t[0], rows[1])
	quads.low(t[3], t[1], rows[2])
	quads.high(t[3], t[1], rows[3])
}

// unpack is a pair of instructions that interleave the low or the high halves of two registers.
type unpack struct {
	low, high func(ops ...operand.Op)
}
