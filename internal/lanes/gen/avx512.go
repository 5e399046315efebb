package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx512 writes kernels of one or two interleaved groups of 16 messages.
type avx512 struct {
	ctx    *build.Context
	tables tables
	groups int
}

// zmm are the registers: word i of the state of group g is zmm[16*g+i].
var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

func (k avx512) kernel(name string) {
	p := begin(k.ctx, name, 16*k.groups, (1024+8*64)*k.groups, 64)
	hash(k.ctx, p, parts{
		load: func() {
			for g := range k.groups {
				k.load(p, g)
			}
			k.ctx.Comment("Prefetch later messages.")
			prefetch(k.ctx, p, 16*k.groups)
		},
		begin: func() {
			k.initial(0, 8)
			for g := range k.groups {
				for i := range 12 {
					if from, to := i%8, 16*g+i; from != to {
						k.ctx.VMOVDQA64(zmm[from], zmm[to])
					}
				}
			}
		},
		chain: func() {
			k.initial(8, 4)
			for g := range k.groups {
				for i := range 4 {
					if g > 0 {
						k.ctx.VMOVDQA64(zmm[8+i], zmm[16*g+8+i])
					}
				}
				for i := range 8 {
					k.ctx.VMOVDQA64(k.kept(p, g, i), zmm[16*g+i])
				}
			}
		},
		mix: func() {
			k.fourth(p)
			for i, step := range halfRounds() {
				k.ctx.Commentf("Round %d, %s.", i/2+1, [2]string{"columns", "diagonals"}[i%2])
				k.mix(p, step)
			}
			k.ctx.Comment("Fold the state.")
			for g := range k.groups {
				for i := range 8 {
					k.ctx.VPXORD(zmm[16*g+8+i], zmm[16*g+i], zmm[16*g+i])
				}
			}
		},
		keep: func() {
			for g := range k.groups {
				for i := range 8 {
					k.ctx.VMOVDQA64(zmm[16*g+i], k.kept(p, g, i))
				}
			}
		},
		store: func() {
			for g := range k.groups {
				k.store(p, g)
			}
		},
	})
}

// word is the place of message word i of group g: a vector of that word of 16 messages.
func (k avx512) word(p pointers, g, i int) operand.Mem {
	return operand.Mem{Base: p.scratch, Disp: 1024*g + 64*i}
}

// kept is the place of word i of group g's chaining value while the next blocks are loaded.
func (k avx512) kept(p pointers, g, i int) operand.Mem {
	return operand.Mem{Base: p.scratch, Disp: 1024*k.groups + 64*(8*g+i)}
}

// load transposes 16 rows of 16 words.
//
// A register takes half a row of message i and the same half of message i+4, so that in 128-bit
// parts it holds [i.0 i.1 (i+4).0 (i+4).1]. Transposing 4×4 words within the parts makes each part
// one word of four messages, and a shuffle of parts brings the four parts of a word together, from
// messages 0 to 7 and 8 to 15.
func (k avx512) load(p pointers, g int) {
	rows := func(half, set int) []reg.VecPhysical { return zmm[8*half+4*set:][:4] }
	for set := range 2 {
		for i := range 4 {
			for half, from := range p.halves {
				v := rows(half, set)[i]
				k.ctx.VMOVDQU(row(k.ctx, from.base, from.off, 16*g+8*set+i), v.AsY())
				k.ctx.VINSERTI64X4(operand.Imm(1), row(k.ctx, from.base, from.off, 16*g+8*set+4+i), v, v)
			}
		}
	}
	for half := range 2 {
		for set := range 2 {
			k.transpose4(rows(half, set), zmm[16+8*half+4*set:])
		}
		for i := range 4 {
			first, second, t := rows(half, 0)[i], rows(half, 1)[i], zmm[16+8*half+i]
			k.ctx.VSHUFI32X4(operand.Imm(0x88), second, first, t) // parts 0 and 2 of both
			k.ctx.VMOVDQA64(t, k.word(p, g, 8*half+i))
			k.ctx.VSHUFI32X4(operand.Imm(0xdd), second, first, first) // parts 1 and 3 of both
			k.ctx.VMOVDQA64(first, k.word(p, g, 8*half+4+i))
		}
	}
}

// initial sets registers, from the given one on, to words of the initial value.
func (k avx512) initial(from, words int) {
	for i := range words {
		k.ctx.VPBROADCASTD(k.tables.initial.Offset(4*i), zmm[from+i])
	}
}

// fourth sets words 12 to 15 of the states. They are alike in all groups.
func (k avx512) fourth(p pointers) {
	for g := range k.groups {
		v := zmm[16*g:]
		k.ctx.VPXORD(v[12], v[12], v[12])
		k.ctx.VPXORD(v[13], v[13], v[13])
		k.ctx.VPBROADCASTD(p.blockLen, v[14])
		k.ctx.VPBROADCASTD(p.flags, v[15])
	}
}

// mix emits half a round. Each operation is written for all columns of all groups before the next
// one, which is the order in which their results become ready.
func (k avx512) mix(p pointers, step [4]mix) {
	each := func(op func(v func(i int) reg.VecPhysical, g int, m mix)) {
		for g := range k.groups {
			for _, m := range step {
				op(func(i int) reg.VecPhysical { return zmm[16*g+i] }, g, m)
			}
		}
	}
	type vec = func(i int) reg.VecPhysical
	add := func(x, y func(m mix) int) {
		each(func(v vec, _ int, m mix) { k.ctx.VPADDD(v(y(m)), v(x(m)), v(x(m))) })
	}
	xorRotate := func(x, y func(m mix) int, n uint64) {
		each(func(v vec, _ int, m mix) { k.ctx.VPXORD(v(y(m)), v(x(m)), v(x(m))) })
		each(func(v vec, _ int, m mix) { k.ctx.VPRORD(operand.Imm(n), v(x(m)), v(x(m))) })
	}
	addWord := func(word func(m mix) int) {
		each(func(v vec, g int, m mix) { k.ctx.VPADDD(k.word(p, g, word(m)), v(m.a), v(m.a)) })
	}
	a := func(m mix) int { return m.a }
	b := func(m mix) int { return m.b }
	c := func(m mix) int { return m.c }
	d := func(m mix) int { return m.d }

	addWord(func(m mix) int { return m.x })
	add(a, b)
	xorRotate(d, a, 16)
	add(c, d)
	xorRotate(b, c, 12)
	addWord(func(m mix) int { return m.y })
	add(a, b)
	xorRotate(d, a, 8)
	add(c, d)
	xorRotate(b, c, 7)
}

// store transposes words 0 to 7 of the state into 16 rows and stores them.
//
// After transposing 4×4 words within the 128-bit parts, register i holds the first half of the
// hashes of messages i, i+4, i+8 and i+12, and register 4+i the second half of the same. Two
// permutations make them two rows each.
func (k avx512) store(p pointers, g int) {
	v := zmm[16*g:]
	// The registers that held words 8 to 15 are free by now.
	k.transpose4(v[0:4], v[8:12])
	k.transpose4(v[4:8], v[12:16])
	for i := range 4 {
		first, second, t := v[i], v[4+i], v[8+i]
		k.ctx.VMOVDQU64(k.tables.lower, t)
		k.ctx.VPERMI2Q(second, first, t)
		k.storeRows(p, t, 16*g+i)
		k.ctx.VMOVDQU64(k.tables.upper, t)
		k.ctx.VPERMI2Q(second, first, t)
		k.storeRows(p, t, 16*g+8+i)
	}
}

// storeRows stores the halves of v as the hashes of messages i and i+4.
func (k avx512) storeRows(p pointers, v reg.VecPhysical, i int) {
	k.ctx.VMOVDQU64(v.AsY(), row(k.ctx, p.dst, p.dstOff, i))
	k.ctx.VEXTRACTI64X4(operand.Imm(1), v, row(k.ctx, p.dst, p.dstOff, i+4))
}

func (k avx512) transpose4(rows, t []reg.VecPhysical) {
	transpose4(
		unpack{k.ctx.VPUNPCKLDQ, k.ctx.VPUNPCKHDQ}, unpack{k.ctx.VPUNPCKLQDQ, k.ctx.VPUNPCKHQDQ}, rows, t,
	)
}
