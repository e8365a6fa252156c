package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// A runtime's library asks for one system call after the other, and the kernel walks that list for every number there
// is when the filter is loaded. As a search tree the same decisions load in a tenth of the time.

// insn is one instruction of classic BPF (linux/filter.h), in the machine's byte order in a file.
type insn struct {
	Code   uint16
	JT, JF uint8
	K      uint32
}

// Offsets in struct seccomp_data (seccomp(2)).
const (
	offNumber = 0
	offArch   = 4
)

const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opRet  = unix.BPF_RET | unix.BPF_K
	opAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opGoto = unix.BPF_JMP | unix.BPF_JA
	opEq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opGt   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opGe   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opSet  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
)

// errShape is for filters that Tree leaves as they are.
var errShape = errors.New("a filter of another shape")

// Tree returns a filter that decides as the given one does, with a search over the numbers of the system calls instead
// of a list. What the filter asks about arguments stays as it is. The outcome was compared with the original.
func Tree(filter []byte) ([]byte, error) {
	prog, err := decode(filter)
	if err != nil {
		return nil, err
	}
	archs, err := prog.archs()
	if err != nil {
		return nil, err
	}
	b := builder{tails: map[int]bool{}}
	plans := make([]plan, len(archs))
	for i, arch := range archs {
		if plans[i], err = prog.plan(arch); err != nil {
			return nil, err
		}
		plans[i].note(b.tails)
	}
	other, err := prog.plan(unused(archs))
	if err != nil {
		return nil, err
	}
	other.note(b.tails)
	tree := b.build(prog, archs, plans, other)
	if err := same(prog, tree, append(archs, unused(archs))); err != nil {
		return nil, err
	}
	return encode(tree), nil
}

type program []insn

func decode(filter []byte) (program, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	prog := make(program, len(filter)/instruction)
	for i := range prog {
		at := filter[i*instruction:]
		prog[i] = insn{binary.NativeEndian.Uint16(at), at[2], at[3], binary.NativeEndian.Uint32(at[4:])}
	}
	for i, in := range prog {
		switch in.Code {
		case opRet, opAnd, opLoad:
		case opGoto:
			if uint64(i)+1+uint64(in.K) >= uint64(len(prog)) {
				return nil, errShape
			}
		case opEq, opGt, opGe, opSet:
			if i+1+int(max(in.JT, in.JF)) >= len(prog) {
				return nil, errShape
			}
		default: // anything that keeps a value in another place than the accumulator
			return nil, errShape
		}
	}
	if prog[len(prog)-1].Code != opRet {
		return nil, errShape
	}
	return prog, nil
}

func encode(prog program) []byte {
	var out []byte
	for _, in := range prog {
		out = binary.NativeEndian.AppendUint16(out, in.Code)
		out = binary.NativeEndian.AppendUint32(append(out, in.JT, in.JF), in.K)
	}
	return out
}

// archs are the architectures that the filter knows, in its order.
func (p program) archs() ([]uint32, error) {
	if p[0] != (insn{Code: opLoad, K: offArch}) {
		return nil, errShape
	}
	var archs []uint32
	for pc := 1; p[pc].Code == opEq || p[pc].Code == opGoto; {
		if p[pc].Code == opGoto {
			pc += 1 + int(p[pc].K)
			continue
		}
		if slices.Contains(archs, p[pc].K) {
			return nil, errShape
		}
		archs = append(archs, p[pc].K)
		pc += 1 + int(p[pc].JF)
	}
	if len(archs) == 0 || len(archs) > 8 {
		return nil, errShape
	}
	return archs, nil
}

// unused is an architecture that the filter does not know.
func unused(archs []uint32) uint32 {
	for n := uint32(0); ; n++ {
		if !slices.Contains(archs, n) {
			return n
		}
	}
}

// outcome is what is known of a call by architecture and number alone: the action, or where the filter goes on to look
// at the arguments.
type outcome struct {
	ret  uint32
	tail int // index of the first instruction that needs an argument; 0: none, ret holds
}

// step is one instruction for a known accumulator: where to go on.
func (in insn) jump(pc int, a uint32) int {
	taken := false
	switch in.Code {
	case opGoto:
		return pc + 1 + int(in.K)
	case opEq:
		taken = a == in.K
	case opGt:
		taken = a > in.K
	case opGe:
		taken = a >= in.K
	case opSet:
		taken = a&in.K != 0
	}
	if taken {
		return pc + 1 + int(in.JT)
	}
	return pc + 1 + int(in.JF)
}

// decide follows the filter as far as architecture and number lead, and tells each number that it was compared with.
func (p program) decide(arch, number uint32, compared func(in insn)) (outcome, error) {
	var a uint32
	isNumber := false
	for pc := 0; ; {
		in := p[pc]
		switch in.Code {
		case opRet:
			return outcome{ret: in.K}, nil
		case opLoad:
			if in.K != offNumber && in.K != offArch {
				return outcome{tail: pc}, nil
			}
			a, isNumber = arch, in.K == offNumber
			if isNumber {
				a = number
			}
			pc++
			continue
		case opAnd:
			return outcome{}, errShape
		}
		if isNumber && in.Code != opGoto && compared != nil {
			compared(in)
		}
		pc = in.jump(pc, a)
	}
}

// plan is what the filter does for one architecture: from each number in starts on, until the next, the outcome.
type plan struct {
	starts   []uint32
	outcomes []outcome
}

func (p program) plan(arch uint32) (plan, error) {
	edges := map[uint32]bool{0: true}
	queue := []uint32{0}
	odd := false
	edge := func(n uint32) {
		if !edges[n] {
			edges[n] = true
			queue = append(queue, n)
		}
	}
	seen := map[insn]bool{} // the list is walked again for each number
	for ; len(queue) > 0; queue = queue[1:] {
		_, err := p.decide(arch, queue[0], func(in insn) {
			if seen[in] {
				return
			}
			seen[in] = true
			switch in.Code {
			case opEq:
				edge(in.K)
				edge(in.K + 1)
			case opGe:
				edge(in.K)
			case opGt:
				edge(in.K + 1)
			default:
				odd = true
			}
		})
		if err != nil || odd {
			return plan{}, errShape
		}
	}
	var pl plan
	for _, start := range slices.Sorted(maps.Keys(edges)) {
		out, err := p.decide(arch, start, nil)
		if err != nil {
			return plan{}, err
		}
		if n := len(pl.outcomes); n == 0 || pl.outcomes[n-1] != out {
			pl.starts, pl.outcomes = append(pl.starts, start), append(pl.outcomes, out)
		}
	}
	return pl, nil
}

func (pl plan) note(tails map[int]bool) {
	for _, out := range pl.outcomes {
		if out.tail > 0 {
			tails[out.tail] = true
		}
	}
}

// builder puts the tree together. Jumps to tails are bound at the end.
type builder struct {
	tails map[int]bool
	prog  program
	loose map[int]int // index of a goto in prog: the instruction of the original that it leads to
}

func (b *builder) build(old program, archs []uint32, plans []plan, other plan) program {
	b.loose = map[int]int{}
	b.prog = program{{Code: opLoad, K: offArch}}
	for i, arch := range archs {
		sub := b.search(plans[i])
		// If it is this architecture skip the goto that leads past the search.
		b.prog = append(b.prog, insn{opEq, 1, 0, arch}, insn{Code: opGoto, K: uint32(len(sub.prog) + 1)}, insn{Code: opLoad, K: offNumber})
		b.add(sub)
	}
	if len(other.starts) > 1 {
		b.prog = append(b.prog, insn{Code: opLoad, K: offNumber})
	}
	b.add(b.search(other))
	at := b.addTails(old)
	for from, to := range b.loose {
		b.prog[from].K = uint32(at[to] - from - 1)
	}
	return b.prog
}

// piece is a part of the tree with its loose ends.
type piece struct {
	prog  program
	loose map[int]int
}

func (b *builder) add(sub piece) {
	for from, to := range sub.loose {
		b.loose[len(b.prog)+from] = to
	}
	b.prog = append(b.prog, sub.prog...)
}

func (b *builder) search(pl plan) piece {
	if len(pl.outcomes) == 1 {
		if out := pl.outcomes[0]; out.tail > 0 {
			return piece{program{{Code: opGoto}}, map[int]int{0: out.tail}}
		}
		return piece{program{{Code: opRet, K: pl.outcomes[0].ret}}, nil}
	}
	half := len(pl.outcomes) / 2
	low := b.search(plan{pl.starts[:half], pl.outcomes[:half]})
	high := b.search(plan{pl.starts[half:], pl.outcomes[half:]})
	node := builder{loose: map[int]int{}}
	if len(low.prog) <= 255 {
		node.prog = program{{opGe, uint8(len(low.prog)), 0, pl.starts[half]}}
	} else {
		node.prog = program{{opGe, 0, 1, pl.starts[half]}, {Code: opGoto, K: uint32(len(low.prog))}}
	}
	node.add(low)
	node.add(high)
	return piece{node.prog, node.loose}
}

// reach lists what can be executed from the given instructions on, in order.
func (p program) reach(from map[int]bool) []int {
	reached := maps.Clone(from)
	for pc, in := range p { // jumps lead forward only
		if !reached[pc] || in.Code == opRet {
			continue
		}
		switch in.Code {
		case opLoad, opAnd:
			reached[pc+1] = true
		case opGoto:
			reached[pc+1+int(in.K)] = true
		default:
			reached[pc+1+int(in.JT)], reached[pc+1+int(in.JF)] = true, true
		}
	}
	return slices.Sorted(maps.Keys(reached))
}

// addTails copies what is reached from the tails and says where each instruction lies now.
func (b *builder) addTails(old program) map[int]int {
	at := map[int]int{}
	order := old.reach(b.tails)
	for i, pc := range order {
		at[pc] = len(b.prog) + i
	}
	for _, pc := range order {
		in, here := old[pc], at[pc]
		switch in.Code {
		case opLoad, opAnd, opRet:
		case opGoto:
			in.K = uint32(at[pc+1+int(in.K)] - here - 1)
		default: // what lies between has become less, never more
			in.JT, in.JF = uint8(at[pc+1+int(in.JT)]-here-1), uint8(at[pc+1+int(in.JF)]-here-1)
		}
		b.prog = append(b.prog, in)
	}
	return at
}

// run is the filter's answer to one call: its data in 32-bit words.
func (p program) run(data *[16]uint32) uint32 {
	var a uint32
	for pc := 0; ; {
		switch in := p[pc]; in.Code {
		case opRet:
			return in.K
		case opLoad:
			a = data[in.K/4%16]
			pc++
		case opAnd:
			a &= in.K
			pc++
		default:
			pc = in.jump(pc, a)
		}
	}
}

// same compares the answers of two filters: for every number that either of them knows and its neighbours, with
// arguments around all that is compared there.
func same(p, q program, archs []uint32) error {
	numbers := around(p, nil)
	for _, arch := range archs {
		for _, number := range numbers {
			out, err := p.decide(arch, number, nil)
			if err != nil {
				return err
			}
			values, tries := []uint32{0}, 1
			if out.tail > 0 {
				values = around(p, p.reach(map[int]bool{out.tail: true}))
				tries = len(values) * len(values)
			}
			for i := range tries {
				data := [16]uint32{number, arch}
				for word := 4; word < 16; word += 2 { // args[6]: each half has any value beside any other
					data[word], data[word+1] = values[i%len(values)], values[i/len(values)]
				}
				if a, b := p.run(&data), q.run(&data); a != b {
					return fmt.Errorf("call %d of architecture %#x: %#x became %#x", number, arch, a, b)
				}
			}
		}
	}
	return nil
}

// around lists what the instructions at the given places (nil: all) compare with, and the neighbours of that.
func around(p program, places []int) []uint32 {
	consts := map[uint32]bool{0: true, 1<<32 - 1: true}
	for pc, in := range p {
		if places != nil && !slices.Contains(places, pc) || in.Code == opRet || in.Code == opLoad || in.Code == opGoto {
			continue
		}
		consts[in.K], consts[in.K+1], consts[in.K-1] = true, true, true
	}
	return slices.Sorted(maps.Keys(consts))
}
