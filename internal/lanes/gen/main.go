// Command gen writes the vector kernels of package lanes: kernels_amd64.s, kernels_arm64.s and
// their Go declarations.
//
// # How a kernel works
//
// BLAKE3 of a message of at most 1,024 bytes, a chunk, is a compression for each block of 64 bytes:
// sixteen 32-bit state words are mixed with sixteen message words in seven rounds, and the upper
// half of the state is folded onto the lower half. That is the hash, or the chaining value that the
// next block starts from. Every step is an addition, an exclusive or or a rotation of whole words,
// and no step depends on the data. So one message is slow (each step waits for the one before it)
// and many are quick: put word i of message j into lane j of vector register i, and the scalar
// program runs on all the lanes at once. A kernel has four parts.
//
//  1. Load. A block is two halves of 32 contiguous bytes, each at an offset of its own, so the
//     words of one half come in a row, while the program wants the words of one index side by
//     side. The rows are transposed with unpack and shuffle instructions. The first stage of the
//     transposition is free: a register is filled from two rows with an insert from memory. The
//     transposed words go to scratch space on the stack, one vector for each word.
//
//  2. State. Words 0 to 7 are BLAKE3's initial value or the chaining value, 8 to 11 the first half
//     of the initial value, 12 and 13 the counter (zero), 14 the length of the block and 15 its
//     flags: whether it is the first one, and whether the last, of the only chunk, which is the
//     root. The state lives in registers from here to the end.
//
//  3. Rounds. Each of the seven rounds mixes the four columns of the state and then its four
//     diagonals. The message words are memory operands of the additions, which costs nothing, as
//     loads have execution units of their own; the order in which a round reads them is known here,
//     at generation time, so the seven rounds are written out.
//
//  4. Store. Words 0 to 7, folded with 8 to 15, are transposed back into rows of 32 bytes and
//     stored at their offsets. Between two blocks they wait in scratch space as they are.
//
// Everything is loaded before anything is stored. A caller may therefore write over the inputs of
// the group itself.
//
// Once its own messages are loaded, a kernel prefetches those of a group that the caller names,
// some groups ahead. The processor cannot do that alone: a group has more instructions than it
// looks ahead, and scattered messages follow no pattern that it could guess.
//
// # Registers and waiting
//
// A column is a chain of twelve operations that each need the last one's result; four columns run
// side by side. With vector operations that take two cycles and four of them started in a cycle
// (AMD Zen 5), eight chains are needed to keep the units busy. AVX-512 has 32 registers, enough for
// the states of two groups of 16 messages when the message words stay in memory and rotations
// (VPRORD) work in place. So the wide kernel interleaves two groups, and a narrow one with a single
// group serves what is left over.
//
// AVX2 has 16 registers: one state and not a register more, while its rotations by 12 and 7 need a
// temporary (shift, shift, or). The third row of the state therefore lives in memory: it is touched
// only in "c += d; b ^= c", where loading it is part of the addition. Rotations by 16 and 8 are
// byte shuffles.
//
// NEON has 32 registers of 4 words. The state has 16 of them, and 11 message words stay in others:
// additions take no operand from memory, so each of the remaining 5 costs a load where it is
// needed. A rotation by 12 or 7 is a shift and an insertion of the shifted rest (VSLI), whose
// temporary the exclusive or before it has filled, and so costs no more than that.
//
// # Regenerating
//
// Run go generate in package lanes. The test of this module compares what the program writes with
// what is committed.
package main

import (
	"fmt"
	"os"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// folder is where the generated files go, relative to this module's folder.
const folder = "../"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	files, err := generate()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(folder+name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// program returns every kernel for amd64.
func program() (*ir.File, error) {
	ctx := build.NewContext()
	t := defineTables(ctx)
	avx512{ctx: ctx, tables: t, groups: 2}.kernel("hash32AVX512")
	avx512{ctx: ctx, tables: t, groups: 1}.kernel("hash16AVX512")
	avx2{ctx: ctx, tables: t}.kernel("hash8AVX2")

	file, err := ctx.Result()
	if err != nil {
		return nil, err
	}
	return file, pass.Compile.Execute(file)
}

// generate returns the files with the assembly and the Go declarations of every kernel, by name.
func generate() (map[string][]byte, error) {
	file, err := program()
	if err != nil {
		return nil, err
	}
	// The command line is fixed, so that the header does not depend on how the program was started.
	cfg := printer.Config{Pkg: "lanes", Name: "avo", Argv: []string{"gen"}}
	asm, err := printer.NewGoAsm(cfg).Print(file)
	if err != nil {
		return nil, err
	}
	stubs, err := printer.NewStubs(cfg).Print(file)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"kernels_amd64.s": asm, "kernels_amd64.go": stubs}
	files["kernels_arm64.s"], files["kernels_arm64.go"] = generateNEON()
	return files, nil
}
