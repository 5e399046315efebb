package main

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"lukechampine.com/blake3"
)

// TestPlayed plays the kernels instruction by instruction, on any machine: few have AVX-512.
func TestPlayed(t *testing.T) {
	t.Parallel()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	lanes := map[string]int{"hash32AVX512": 32, "hash16AVX512": 16, "hash8AVX2": 8}
	for _, f := range file.Functions() {
		n := lanes[f.Name]
		delete(lanes, f.Name)
		for seed := range uint64(3) {
			for _, length := range []int{64, 36, 40, 0, 65, 128, 148, 1024} {
				play(t, file, f, rand.New(rand.NewPCG(seed, uint64(length))), n, length)
			}
		}
	}
	if len(lanes) > 0 {
		t.Errorf("no kernel was played of %v", lanes)
	}
}

// play has a kernel hash n messages, whose halves are scattered in two buffers, to places with gaps
// between them that must stay as they were.
func play(t *testing.T, file *ir.File, f *ir.Function, r *rand.Rand, n, length int) {
	t.Helper()
	const gap, stack = 7, 8 << 10
	m := &machine{t: t, memory: make([]byte, 64)}
	globals := map[string]int{}
	for _, section := range file.Sections {
		if g, ok := section.(*ir.Global); ok {
			at := m.allocate(g.Size)
			globals[g.Symbol.Name] = at
			for _, d := range g.Data {
				switch v := d.Value.(type) {
				case operand.U32:
					binary.LittleEndian.PutUint32(m.memory[at+d.Offset:], uint32(v))
				case operand.U64:
					binary.LittleEndian.PutUint64(m.memory[at+d.Offset:], uint64(v))
				default:
					t.Fatalf("a datum of type %T", v)
				}
			}
		}
	}
	m.globals = globals
	offsets := func(values []int) int {
		at := m.allocate(4 * n)
		for i, v := range values {
			binary.LittleEndian.PutUint32(m.memory[at+4*i:], uint32(v))
		}
		return at
	}
	// half fills a buffer with one half of each block of the messages, from the given byte of them
	// on, in random order, and returns where they begin. What is between the halves is random, too.
	blocks := max((length+63)/64, 1)
	size := 64*blocks - 32
	messages := make([][]byte, n)
	for i := range messages {
		messages[i] = make([]byte, 64*blocks)
		for j := range length {
			messages[i][j] = byte(r.Uint32())
		}
	}
	half := func(from int) (buffer, off int) {
		buffer = m.allocate(n*(size+gap) + gap)
		for i := range n * (size + gap) {
			m.memory[buffer+i] = byte(r.Uint32())
		}
		places := make([]int, n)
		for i, place := range r.Perm(n) {
			places[i] = gap + place*(size+gap)
			for b := range blocks {
				copy(m.memory[buffer+places[i]+64*b:][:32], messages[i][64*b+from:])
			}
		}
		return buffer, offsets(places)
	}
	first, firstOff := half(0)
	second, secondOff := half(32)
	dst := m.allocate(n * (32 + gap))
	places := make([]int, n)
	for i, place := range r.Perm(n) {
		places[i] = place * (32 + gap)
	}
	want := make([]byte, n*(32+gap))
	for i := range n {
		h := blake3.Sum256(messages[i][:length])
		copy(want[places[i]:], h[:])
	}
	m.parameters = map[string]uint64{
		"dst": uint64(dst), "dstOff": uint64(offsets(places)), "msgLen": uint64(length),
		"first": uint64(first), "firstOff": uint64(firstOff), "firstAhead": uint64(firstOff),
		"second": uint64(second), "secondOff": uint64(secondOff), "secondAhead": uint64(secondOff),
	}
	m.stack = uint64(m.allocate(stack))
	for i := range m.memory[m.stack:] {
		m.memory[int(m.stack)+i] = 0xa5
	}
	labels := map[ir.Label]int{}
	for i, node := range f.Nodes {
		if l, ok := node.(ir.Label); ok {
			labels[l] = i
		}
	}
	for at, steps := 0, 0; !m.ended; at++ {
		if steps++; at == len(f.Nodes) || steps > 1e6 {
			t.Fatalf("%s does not return", f.Name)
		}
		if in, ok := f.Nodes[at].(*ir.Instruction); ok {
			if to, jumps := m.step(in); jumps {
				at = labels[to]
			}
		}
	}
	if got := m.memory[dst:][:len(want)]; string(got) != string(want) {
		t.Fatalf("%s, %d bytes: got\n%x\nwant\n%x", f.Name, length, got, want)
	}
}

// machine has the registers and the memory that a kernel uses.
type machine struct {
	t          *testing.T
	memory     []byte
	globals    map[string]int
	parameters map[string]uint64
	stack      uint64
	general    registers
	vectors    [32][64]byte
	above      bool // as the last comparison found it
	zero       bool // of the last test
	ended      bool
}

type registers map[reg.ID]*uint64

func (m *machine) allocate(n int) int {
	at := len(m.memory)
	m.memory = append(m.memory, make([]byte, n+64)...) // whoever goes beyond hits a place that is checked, or nothing
	if m.general == nil {
		m.general = registers{}
	}
	return at
}

// address returns where a memory operand is; a parameter is none.
func (m *machine) address(o operand.Mem) int {
	at := o.Disp
	switch {
	case o.Base == reg.StaticBase:
		at += m.globals[o.Symbol.Name]
	case o.Base == reg.StackPointer:
		at += int(m.stack)
	default:
		at += int(*m.general[o.Base.ID()])
	}
	if o.Index != nil {
		at += int(*m.general[o.Index.ID()]) * int(o.Scale)
	}
	return at
}

// load reads size bytes of an operand.
func (m *machine) load(o operand.Op, size int) []byte {
	var out [64]byte
	switch o := o.(type) {
	case operand.Mem:
		copy(out[:size], m.memory[m.address(o):][:size])
	case reg.VecPhysical:
		return m.vectors[o.PhysicalIndex()][:size]
	default:
		m.t.Fatalf("%T is read as %d bytes", o, size)
	}
	return out[:size]
}

// store writes an operand. What of a vector register is not written becomes zero.
func (m *machine) store(o operand.Op, value []byte) {
	switch o := o.(type) {
	case operand.Mem:
		copy(m.memory[m.address(o):][:len(value)], value)
	case reg.VecPhysical:
		var full [64]byte
		copy(full[:], value)
		m.vectors[o.PhysicalIndex()] = full
	default:
		m.t.Fatalf("%d bytes are written to a %T", len(value), o)
	}
}

// width is the size of an instruction's vectors: that of the register among its operands.
func width(operands []operand.Op) int {
	for i := len(operands) - 1; i >= 0; i-- {
		if v, ok := operands[i].(reg.VecPhysical); ok {
			return int(v.Size())
		}
	}
	return 0
}

func immediate(o operand.Op) int {
	switch v := o.(type) {
	case operand.U32:
		return int(v)
	case operand.U8:
		return int(v)
	case operand.I8:
		return int(v)
	}
	panic(fmt.Sprintf("%T is no immediate operand", o))
}

// step does what an instruction says, and returns where it jumps to, if it does.
func (m *machine) step(in *ir.Instruction) (to ir.Label, jumps bool) {
	o := in.Operands
	general := func(o operand.Op) *uint64 {
		if _, ok := m.general[o.(reg.Register).ID()]; !ok {
			m.general[o.(reg.Register).ID()] = new(uint64)
		}
		return m.general[o.(reg.Register).ID()]
	}
	label := func() ir.Label { return ir.Label(o[0].(operand.LabelRef)) }
	size := width(o)
	last := func() operand.Op { return o[len(o)-1] }
	words := func(f func(a, b uint32) uint32) { // of two sources
		a, b := m.load(o[1], size), m.load(o[0], size)
		out := make([]byte, size)
		for i := 0; i < size; i += 4 {
			binary.LittleEndian.PutUint32(out[i:], f(binary.LittleEndian.Uint32(a[i:]), binary.LittleEndian.Uint32(b[i:])))
		}
		m.store(last(), out)
	}
	shift := func(f func(a uint32, n int) uint32) {
		a, out := m.load(o[1], size), make([]byte, size)
		for i := 0; i < size; i += 4 {
			binary.LittleEndian.PutUint32(out[i:], f(binary.LittleEndian.Uint32(a[i:]), immediate(o[0])))
		}
		m.store(last(), out)
	}
	unpack := func(unit, from int) { // interleaves units of the lower or upper halves of 16 bytes
		a, b := m.load(o[1], size), m.load(o[0], size)
		var out []byte
		for part := 0; part < size; part += 16 {
			for i := from; i < from+8; i += unit {
				out = append(append(out, a[part+i:][:unit]...), b[part+i:][:unit]...)
			}
		}
		m.store(last(), out)
	}
	insert := func(unit int) {
		out := append([]byte{}, m.load(o[2], size)...)
		copy(out[immediate(o[0])*unit:], m.load(o[1], unit))
		m.store(last(), out)
	}
	switch in.Opcode {
	case "MOVQ", "MOVL":
		switch from := o[0].(type) {
		case operand.Mem:
			if from.Base == reg.FramePointer {
				*general(o[1]) = m.parameters[from.Symbol.Name]
			} else {
				*general(o[1]) = uint64(binary.LittleEndian.Uint32(m.memory[m.address(from):]))
			}
		case reg.Register:
			*general(o[1]) = *general(from)
		default:
			*general(o[1]) = uint64(immediate(from))
		}
	case "LEAQ":
		*general(o[1]) = uint64(m.address(o[0].(operand.Mem)))
	case "ANDQ":
		*general(o[1]) &= uint64(immediate(o[0]))
	case "ADDQ":
		*general(o[1]) += uint64(immediate(o[0]))
	case "SUBL":
		*general(o[1]) -= uint64(immediate(o[0]))
	case "ORL":
		*general(o[1]) |= uint64(immediate(o[0]))
	case "XORL":
		*general(o[1]) ^= *general(o[0])
	case "CMPL":
		m.above = *general(o[0]) > uint64(immediate(o[1]))
	case "TESTL":
		m.zero = *general(o[1])&uint64(immediate(o[0])) == 0
	case "JHI":
		return label(), m.above
	case "JEQ":
		return label(), m.zero
	case "JMP":
		return label(), true
	case "PREFETCHT0":
		_ = m.memory[m.address(o[0].(operand.Mem))]
	case "VZEROUPPER":
	case "RET":
		m.ended = true
	case "VMOVDQU", "VMOVDQA", "VMOVDQA64", "VMOVDQU64":
		if at, ok := last().(operand.Mem); ok && in.Opcode != "VMOVDQU" && in.Opcode != "VMOVDQU64" && m.address(at)%size != 0 {
			m.t.Errorf("%s writes %d bytes at %d", in.Opcode, size, m.address(at))
		}
		m.store(o[1], m.load(o[0], size))
	case "VMOVD":
		var out [16]byte
		binary.LittleEndian.PutUint32(out[:], uint32(*general(o[0])))
		m.store(o[1], out[:])
	case "VPBROADCASTD":
		var word [4]byte
		if _, ok := o[0].(reg.GPPhysical); ok {
			binary.LittleEndian.PutUint32(word[:], uint32(*general(o[0])))
		} else {
			copy(word[:], m.load(o[0], 4))
		}
		var out []byte
		for range size / 4 {
			out = append(out, word[:]...)
		}
		m.store(o[1], out)
	case "VPADDD":
		words(func(a, b uint32) uint32 { return a + b })
	case "VPXOR", "VPXORD":
		words(func(a, b uint32) uint32 { return a ^ b })
	case "VPOR":
		words(func(a, b uint32) uint32 { return a | b })
	case "VPRORD":
		shift(func(a uint32, n int) uint32 { return bits.RotateLeft32(a, -n) })
	case "VPSRLD":
		shift(func(a uint32, n int) uint32 { return a >> n })
	case "VPSLLD":
		shift(func(a uint32, n int) uint32 { return a << n })
	case "VPUNPCKLDQ":
		unpack(4, 0)
	case "VPUNPCKHDQ":
		unpack(4, 8)
	case "VPUNPCKLQDQ":
		unpack(8, 0)
	case "VPUNPCKHQDQ":
		unpack(8, 8)
	case "VINSERTI128":
		insert(16)
	case "VINSERTI64X4":
		insert(32)
	case "VEXTRACTI64X4":
		m.store(o[2], m.load(o[1], 64)[immediate(o[0])*32:][:32])
	case "VPSHUFB":
		by, a, out := m.load(o[0], size), m.load(o[1], size), make([]byte, size)
		for i := range out {
			if by[i]&0x80 == 0 {
				out[i] = a[i&^15+int(by[i]&15)]
			}
		}
		m.store(last(), out)
	case "VSHUFI32X4": // two parts of 16 bytes of the first source, then two of the second
		first, second, by := m.load(o[2], size), m.load(o[1], size), immediate(o[0])
		var out []byte
		for i, from := range [][]byte{first, first, second, second} {
			out = append(out, from[16*(by>>(2*i)&3):][:16]...)
		}
		m.store(last(), out)
	case "VPERM2I128":
		all := append(append([]byte{}, m.load(o[2], 32)...), m.load(o[1], 32)...)
		by := immediate(o[0])
		m.store(last(), append(append([]byte{}, all[16*(by&3):][:16]...), all[16*(by>>4&3):][:16]...))
	case "VPERMI2Q": // the destination holds which quadwords of the two sources it gets
		all := append(append([]byte{}, m.load(o[1], 64)...), m.load(o[0], 64)...)
		index := m.load(o[2], 64)
		var out []byte
		for i := 0; i < 64; i += 8 {
			out = append(out, all[8*(index[i]&15):][:8]...)
		}
		m.store(last(), out)
	default:
		m.t.Fatalf("%s is not known to this test", in.Opcode)
	}
	return "", false
}
