package seccomp

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	archAMD64 = unix.AUDIT_ARCH_X86_64
	archARM   = unix.AUDIT_ARCH_ARM
	allow     = 0x7fff0000
	deny      = 0x00050001
)

// listed is a filter as libseccomp writes it: two architectures, a list of calls, one of them with an argument.
var listed = program{
	{opLoad, 0, 0, offArch},
	{opEq, 0, 8, archAMD64},
	{opLoad, 0, 0, offNumber},
	{opGe, 9, 0, 0x40000000},
	{opEq, 9, 0, 1},
	{opEq, 8, 0, 60},
	{opEq, 0, 6, 41},
	{opLoad, 0, 0, 16}, // args[0], low
	{opAnd, 0, 0, 0xff},
	{opEq, 3, 4, 40},
	{opEq, 0, 2, archARM},
	{opLoad, 0, 0, offNumber},
	{opEq, 1, 0, 4},
	{opRet, 0, 0, deny},
	{opRet, 0, 0, allow},
}

func TestTreeDecidesTheSame(t *testing.T) {
	got, err := Tree(encode(listed))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := decode(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arch, number, arg, want uint32
	}{
		{archAMD64, 1, 0, allow}, {archAMD64, 60, 0, allow}, {archAMD64, 0, 0, deny}, {archAMD64, 2, 0, deny},
		{archAMD64, 41, 40, deny}, {archAMD64, 41, 41, allow}, {archAMD64, 41, 0x128, deny},
		{archAMD64, 0x40000001, 0, deny}, {archARM, 4, 0, allow}, {archARM, 1, 0, deny}, {7, 1, 0, deny},
	} {
		if got := tree.run(&[16]uint32{c.number, c.arch, 0, 0, c.arg}); got != c.want {
			t.Errorf("call %d of %#x with %#x: %#x, want %#x", c.number, c.arch, c.arg, got, c.want)
		}
	}
}

// TestTreeIsShallow: what a runtime compiled from the default profile is decided in few steps.
func TestTreeIsShallow(t *testing.T) {
	filter, err := os.ReadFile("testdata/default-amd64.bpf")
	if err != nil {
		t.Fatal(err)
	}
	steps := func(filter []byte) int {
		p, err := decode(filter)
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		for number := range uint32(500) {
			n := 0
			p.decide(archAMD64, number, func(insn) { n++ })
			most = max(most, n)
		}
		return most
	}
	tree, err := Tree(filter)
	if err != nil {
		t.Fatal(err)
	}
	if before, after := steps(filter), steps(tree); before < 100 || after > 12 {
		t.Errorf("at most %d comparisons before and %d after, want hundreds and a dozen", before, after)
	}
	if len(tree) >= len(filter) {
		t.Errorf("it has grown from %d to %d bytes", len(filter), len(tree))
	}
}

func TestTreeLeavesOtherShapes(t *testing.T) {
	change := func(at int, in insn) program {
		p := append(program{}, listed...)
		p[at] = in
		return p
	}
	for name, p := range map[string]program{
		"memory":             change(7, insn{Code: unix.BPF_LD | unix.BPF_MEM}),
		"index register":     change(8, insn{Code: unix.BPF_MISC | unix.BPF_TAX}),
		"bits of the number": change(5, insn{opSet, 8, 0, 60}),
		"jump out":           change(5, insn{opEq, 200, 0, 60}),
		"no architecture":    change(1, insn{opGt, 0, 8, archAMD64}),
		"no end":             change(14, insn{opLoad, 0, 0, 0}),
	} {
		if _, err := Tree(encode(p)); !errors.Is(err, errShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSameFindsADifference is the test of the test that guards every tree.
func TestSameFindsADifference(t *testing.T) {
	archs := []uint32{archAMD64, archARM, 0}
	if err := same(listed, listed, archs); err != nil {
		t.Fatal(err)
	}
	for at, in := range map[int]insn{4: {opEq, 9, 0, 2}, 8: {opAnd, 0, 0, 0xfe}, 9: {opEq, 3, 4, 41}, 12: {opEq, 1, 0, 5}, 13: {opRet, 0, 0, allow}, 3: {opGe, 10, 0, 0x40000000}} {
		other := append(program{}, listed...)
		other[at] = in
		if same(listed, other, archs) == nil {
			t.Errorf("instruction %d changed to %+v goes unseen", at, in)
		}
	}
}

func FuzzTree(f *testing.F) {
	f.Add(encode(listed))
	if real, err := os.ReadFile("testdata/default-amd64.bpf"); err == nil {
		f.Add(real)
	}
	f.Fuzz(func(t *testing.T, filter []byte) {
		if len(filter) > 200*instruction {
			return
		}
		tree, err := Tree(filter)
		if err != nil {
			return
		}
		if _, err := decode(tree); err != nil {
			t.Errorf("the tree is refused: %v", err)
		}
	})
}
