package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx2 writes a kernel of one group of 8 messages.
type avx2 struct {
	ctx    *build.Context
	tables tables
}

// ymm are the registers. Words 0 to 7 and 12 to 15 of the state have the registers of those
// numbers. Words 8 to 11 live in memory while the rounds run, which leaves registers 8 to 11 for
// temporaries.
var ymm = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

func (k avx2) kernel(name string) {
	p := begin(k.ctx, name, 8, (16+4+8)*32, 32)
	hash(k.ctx, p, parts{
		load: func() {
			k.load(p)
			k.ctx.Comment("Prefetch later messages.")
			prefetch(k.ctx, p, 8)
		},
		begin: func() {
			for i := range 8 {
				k.ctx.VPBROADCASTD(k.tables.initial.Offset(4*i), ymm[i])
			}
			for i := range 4 {
				k.ctx.VMOVDQA(ymm[i], k.third(p, 8+i))
			}
		},
		chain: func() {
			for i := range 4 {
				k.ctx.VPBROADCASTD(k.tables.initial.Offset(4*i), ymm[i])
				k.ctx.VMOVDQA(ymm[i], k.third(p, 8+i))
			}
			for i := range 8 {
				k.ctx.VMOVDQA(k.kept(p, i), ymm[i])
			}
		},
		mix: func() {
			k.fourth(p)
			for i, step := range halfRounds() {
				k.ctx.Commentf("Round %d, %s.", i/2+1, [2]string{"columns", "diagonals"}[i%2])
				k.mix(p, step)
			}
			k.ctx.Comment("Fold the state.")
			for i := range 4 {
				k.ctx.VPXOR(k.third(p, 8+i), ymm[i], ymm[i])
				k.ctx.VPXOR(ymm[12+i], ymm[4+i], ymm[4+i])
			}
		},
		keep: func() {
			for i := range 8 {
				k.ctx.VMOVDQA(ymm[i], k.kept(p, i))
			}
		},
		store: func() { k.store(p) },
	})
}

// word is the place of message word i.
func (k avx2) word(p pointers, i int) operand.Mem { return operand.Mem{Base: p.scratch, Disp: 32 * i} }

// third is the place of state word i, of the third row.
func (k avx2) third(p pointers, i int) operand.Mem { return k.word(p, 16+i-8) }

// kept is the place of word i of the chaining value while the next blocks are loaded.
func (k avx2) kept(p pointers, i int) operand.Mem { return k.word(p, 16+4+i) }

// load transposes 8 rows of 16 words. A register takes a quarter of a row of message i and the same
// quarter of message i+4, and transposing 4×4 words within the halves of the registers is all there
// is left to do.
func (k avx2) load(p pointers) {
	for half, from := range p.halves {
		rows := func(quarter int) []reg.VecPhysical { return ymm[4*quarter:][:4] }
		for i := range 4 {
			m := row(k.ctx, from.base, from.off, i)
			k.ctx.VMOVDQU(m, rows(0)[i].AsX())
			k.ctx.VMOVDQU(m.Offset(16), rows(1)[i].AsX())
			m = row(k.ctx, from.base, from.off, 4+i)
			k.ctx.VINSERTI128(operand.Imm(1), m, rows(0)[i], rows(0)[i])
			k.ctx.VINSERTI128(operand.Imm(1), m.Offset(16), rows(1)[i], rows(1)[i])
		}
		for quarter := range 2 {
			k.transpose4(rows(quarter), ymm[8+4*quarter:])
			for i, v := range rows(quarter) {
				k.ctx.VMOVDQA(v, k.word(p, 8*half+4*quarter+i))
			}
		}
	}
}

// fourth sets words 12 to 15 of the state.
func (k avx2) fourth(p pointers) {
	k.ctx.VPXOR(ymm[12], ymm[12], ymm[12])
	k.ctx.VPXOR(ymm[13], ymm[13], ymm[13])
	for i, r := range []reg.GPVirtual{p.blockLen, p.flags} {
		k.ctx.VMOVD(r, ymm[14+i].AsX())
		k.ctx.VPBROADCASTD(ymm[14+i].AsX(), ymm[14+i])
	}
}

// mix emits half a round, each operation for all four columns before the next one.
func (k avx2) mix(p pointers, step [4]mix) {
	each := func(op func(m mix, t reg.VecPhysical)) {
		for i, m := range step {
			op(m, ymm[8+i])
		}
	}
	// half is a half of the mixing function: a += b + word; d = (d ^ a) >>> n; c += d; b ^= c.
	half := func(word func(m mix) int, rotation operand.Mem) {
		each(func(m mix, _ reg.VecPhysical) { k.ctx.VPADDD(k.word(p, word(m)), ymm[m.a], ymm[m.a]) })
		each(func(m mix, _ reg.VecPhysical) { k.ctx.VPADDD(ymm[m.b], ymm[m.a], ymm[m.a]) })
		each(func(m mix, _ reg.VecPhysical) { k.ctx.VPXOR(ymm[m.a], ymm[m.d], ymm[m.d]) })
		each(func(m mix, _ reg.VecPhysical) { k.ctx.VPSHUFB(rotation, ymm[m.d], ymm[m.d]) })
		each(func(m mix, t reg.VecPhysical) { k.ctx.VPADDD(k.third(p, m.c), ymm[m.d], t) })
		each(func(m mix, t reg.VecPhysical) { k.ctx.VMOVDQA(t, k.third(p, m.c)) })
		each(func(m mix, t reg.VecPhysical) { k.ctx.VPXOR(t, ymm[m.b], ymm[m.b]) })
	}
	rotateB := func(n uint64) {
		each(func(m mix, t reg.VecPhysical) { k.ctx.VPSRLD(operand.Imm(n), ymm[m.b], t) })
		each(func(m mix, _ reg.VecPhysical) { k.ctx.VPSLLD(operand.Imm(32-n), ymm[m.b], ymm[m.b]) })
		each(func(m mix, t reg.VecPhysical) { k.ctx.VPOR(t, ymm[m.b], ymm[m.b]) })
	}
	half(func(m mix) int { return m.x }, k.tables.rotate16)
	rotateB(12)
	half(func(m mix) int { return m.y }, k.tables.rotate8)
	rotateB(7)
}

// store transposes words 0 to 7 of the state into 8 rows and stores them. After transposing 4×4
// words within the halves of the registers, register i holds the first halves of the hashes of
// messages i and i+4, register 4+i the second.
func (k avx2) store(p pointers) {
	k.transpose4(ymm[0:4], ymm[8:12])
	k.transpose4(ymm[4:8], ymm[12:16])
	for i := range 4 {
		first, second, t := ymm[i], ymm[4+i], ymm[8+i]
		k.ctx.VPERM2I128(operand.Imm(0x20), second, first, t)
		k.ctx.VMOVDQU(t, row(k.ctx, p.dst, p.dstOff, i))
		k.ctx.VPERM2I128(operand.Imm(0x31), second, first, t)
		k.ctx.VMOVDQU(t, row(k.ctx, p.dst, p.dstOff, 4+i))
	}
}

func (k avx2) transpose4(rows, t []reg.VecPhysical) {
	transpose4(
		unpack{k.ctx.VPUNPCKLDQ, k.ctx.VPUNPCKHDQ}, unpack{k.ctx.VPUNPCKLQDQ, k.ctx.VPUNPCKHQDQ}, rows, t,
	)
}
