package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clocksJump reports whether setClock works here.
const clocksJump = true

// setClock puts this process's wall clock off by as many seconds as the first eight bytes of a file
// say, from now on and as they change. Time that only goes forward, by which timers and durations
// are measured, stays right, as it does when somebody sets a machine's clock.
//
// Setting the machine's clock takes rights that a test should not have, and would be felt by
// everybody. Go asks the kernel's code page (vDSO) for the time, without a system call that could
// be intercepted and without libc; but it does so through a pointer that the runtime keeps. So that
// is what is changed: to a few instructions that call what was there and add the offset.
func setClock(path string) error {
	original, err := vdsoAddress("__vdso_clock_gettime")
	if err != nil {
		return err
	}
	pointer, err := findWord(original)
	if err != nil {
		return fmt.Errorf("the runtime's pointer to the clock: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	offset, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	code, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	copy(code, shiftedClock(original, uintptr(unsafe.Pointer(&offset[0]))))
	if err := unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	// aligned, so other threads see the old value or the new one
	*pointer = uintptr(unsafe.Pointer(&code[0]))
	return nil
}

// TestSetClock wants a command to go by a clock that is off, and durations to be right all the
// same.
func TestSetClock(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		c := newChaos(t, "audit", "KTAUDIT_LOG_DIRECTORY=log", "KTAUDIT_AUDIT_STORE=audit", clockVariable+"=clock")
		offset := binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second))
		if err := errors.Join(os.WriteFile(filepath.Join(c.dir, "clock"), offset, 0o600), os.Mkdir(filepath.Join(c.dir, "audit"), 0o700)); err != nil {
			t.Fatal(err)
		}
		c.ktaudit(nil, "simulate", "--namespace", chaosNamespace, "--epochs", "1")
		before := time.Now()
		c.ktaudit(nil, "run", "--from", "1", "--to", "1")
		v := c.verdicts.verdicts()[1]
		if v.StartedAt.Before(before.Add(by)) || v.StartedAt.After(time.Now().Add(by)) {
			t.Errorf("%s off: the verdict is of %s, at %s", by, v.StartedAt, before)
		}
		if v.VerifySeconds < 0 || v.VerifySeconds > time.Since(before).Seconds() || v.FinishedAt.Before(v.StartedAt) {
			t.Errorf("%s off: the verdict is of %s to %s, and took %f s", by, v.StartedAt, v.FinishedAt, v.VerifySeconds)
		}
	}
}

// shiftedClock is clock_gettime(clock, result) in machine code, which adds whole seconds to the
// result if the clock is CLOCK_REALTIME, which is 0.
func shiftedClock(original, offset uintptr) []byte {
	var code []byte
	code = append(code, 0x57, 0x56)             // push rdi; push rsi
	code = append(code, 0x48, 0x83, 0xec, 0x08) // sub rsp, 8: the stack is aligned for a call
	code = append(code, 0x48, 0xb8)             // mov rax, original
	code = binary.LittleEndian.AppendUint64(code, uint64(original))
	code = append(code, 0xff, 0xd0)             // call rax
	code = append(code, 0x48, 0x83, 0xc4, 0x08) // add rsp, 8
	code = append(code, 0x5e, 0x5f)             // pop rsi; pop rdi
	code = append(code, 0x85, 0xff, 0x75, 0x10) // test edi, edi; jne to the last instruction
	code = append(code, 0x48, 0xb9)             // mov rcx, offset
	code = binary.LittleEndian.AppendUint64(code, uint64(offset))
	code = append(code, 0x48, 0x8b, 0x09) // mov rcx, [rcx]
	code = append(code, 0x48, 0x01, 0x0e) // add [rsi], rcx: result's seconds
	return append(code, 0xc3)             // ret, with the original's result
}

// vdsoAddress returns where a function of the kernel's code page is.
func vdsoAddress(name string) (uintptr, error) {
	maps, err := mappings()
	if err != nil {
		return 0, err
	}
	for _, m := range maps {
		if m.name != "[vdso]" {
			continue
		}
		image, err := elf.NewFile(bytes.NewReader(unsafe.Slice((*byte)(pointer(m.start)), m.end-m.start)))
		if err != nil {
			return 0, err
		}
		symbols, err := image.DynamicSymbols()
		if err != nil {
			return 0, err
		}
		for _, s := range symbols {
			if s.Name == name {
				return m.start + uintptr(s.Value), nil
			}
		}
	}
	return 0, fmt.Errorf("the kernel offers no %s", name)
}

// findWord finds the only variable of this program that holds a value. Variables that the program's
// file gives a value are mapped from there, the others follow them.
//
//go:nocheckptr
func findWord(value uintptr) (*uintptr, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	maps, err := mappings()
	if err != nil {
		return nil, err
	}
	var found []*uintptr
	end := uintptr(0)
	for _, m := range maps {
		if !strings.HasPrefix(m.access, "rw") || m.name != program && (m.name != "" || m.start != end) {
			continue
		}
		end = m.end
		for a := m.start; a < m.end; a += unsafe.Sizeof(a) {
			if word := (*uintptr)(pointer(a)); *word == value {
				found = append(found, word)
			}
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("found %d, want one", len(found))
	}
	return found[0], nil
}

// mapping is a line of /proc/self/maps.
type mapping struct {
	start, end   uintptr
	access, name string
}

func mappings() ([]mapping, error) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	var all []mapping
	for line := range strings.Lines(string(text)) {
		var m mapping
		var offset, device, inode string
		// The name is missing from lines of memory that has none.
		if n, err := fmt.Sscanf(line, "%x-%x %s %s %s %s %s", &m.start, &m.end, &m.access, &offset, &device, &inode, &m.name); n < 6 {
			return nil, fmt.Errorf("/proc/self/maps: %q: %w", line, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// pointer is for addresses that the garbage collector has nothing to do with. The detour keeps vet
// from taking it for arithmetic.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
