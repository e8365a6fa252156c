package binfmt

import "encoding/binary"

// Of the header of a program. Package debug/elf would bring more with it than the front can carry.
const (
	class32, class64                                        = 1, 2
	dataLittle, dataBig                                     = 1, 2
	atClass, atData, atVersion, atSystem, atType, atMachine = 4, 5, 6, 7, 16, 18
	current                                                 = 1
	executable                                              = 2
	load, interpreter                                       = 1, 3 // kinds of segments
	readExecute                                             = 5

	em386, emMIPS, emPPC64, emS390, emARM, emX86, emAArch64, emRISCV, emLoongArch = 3, 8, 21, 22, 40, 62, 183, 243, 258
)

// machine is a processor as the headers of its programs name it.
type machine struct {
	arch  string // as images call it
	qemu  string // as qemu does
	class byte
	order binary.ByteOrder
	id    uint16
	end   []byte // instructions that end a program with status 0
}

// find returns the processor of that name; nil: it is not known.
func find(arch string) *machine {
	all := machines()
	for i := range all {
		if all[i].arch == arch {
			return &all[i]
		}
	}
	return nil
}

// machines are the processors that images are made for.
func machines() []machine {
	little, big := binary.LittleEndian, binary.BigEndian
	return []machine{
		{"amd64", "x86_64", class64, little, emX86, []byte{0xb8, 0x3c, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05}},            // mov $60, %eax; xor %edi, %edi; syscall
		{"386", "i386", class32, little, em386, []byte{0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80}},                   // mov $1, %eax; xor %ebx, %ebx; int $0x80
		{"arm64", "aarch64", class64, little, emAArch64, words(little, 0xd2800000, 0xd2800ba8, 0xd4000001)},         // mov x0, 0; mov x8, 93; svc 0
		{"arm", "arm", class32, little, emARM, words(little, 0xe3a00000, 0xe3a07001, 0xef000000)},                   // mov r0, 0; mov r7, 1; svc 0
		{"riscv64", "riscv64", class64, little, emRISCV, words(little, 0x00000513, 0x05d00893, 0x00000073)},         // li a0, 0; li a7, 93; ecall
		{"ppc64le", "ppc64le", class64, little, emPPC64, words(little, 0x38600000, 0x38000001, 0x44000002)},         // li r3, 0; li r0, 1; sc
		{"s390x", "s390x", class64, big, emS390, words(big, 0xa7290000, 0x0a010000)},                                // lghi %r2, 0; svc 1
		{"mips64le", "mips64el", class64, little, emMIPS, words(little, 0x24040000, 0x240213c2, 0x0000000c)},        // li a0, 0; li v0, 5058; syscall
		{"loong64", "loongarch64", class64, little, emLoongArch, words(little, 0x02800004, 0x0381740b, 0x002b0000)}, // li.w a0, 0; li.w a7, 93; syscall 0
	}
}

func words(order binary.ByteOrder, instructions ...uint32) []byte {
	var code []byte
	for _, i := range instructions {
		word := make([]byte, 4)
		order.PutUint32(word, i)
		code = append(code, word...)
	}
	return code
}

// magicSize is how much of a header tells the processor: identification, type and machine.
const magicSize = 20

// magic is the start of a program's header, and which bits of it count: not those for the operating system, nor whether it
// may lie anywhere (ET_EXEC and ET_DYN differ in one bit).
func (m *machine) magic() (magic, mask []byte) {
	magic, mask = make([]byte, magicSize), make([]byte, magicSize)
	copy(magic, "\x7fELF")
	magic[atClass], magic[atVersion] = m.class, current
	magic[atData] = dataLittle
	if m.order == binary.ByteOrder(binary.BigEndian) {
		magic[atData] = dataBig
	}
	m.order.PutUint16(magic[atType:], executable)
	m.order.PutUint16(magic[atMachine:], m.id)
	for i := range mask {
		mask[i] = 0xff
	}
	mask[atSystem] = 0
	m.order.PutUint16(mask[atType:], 0xfffe)
	return magic, mask
}

// base is where the probe's program lies.
const base = 0x10000

// probe is a program of this processor that does nothing.
func (m *machine) probe() []byte {
	ident, _ := m.magic()
	o := m.order
	if m.class == class32 {
		const header, segment = 52, 32
		entry, size := uint32(base+header+segment), uint32(header+segment+len(m.end))
		b := append([]byte{}, ident...)
		b = append32(o, b, current, entry, header, 0, m.flags())
		b = append16(o, b, header, segment, 1, 0, 0, 0)
		b = append32(o, b, load, 0, base, base, size, size, readExecute, 0x1000)
		return append(b, m.end...)
	}
	const header, segment = 64, 56
	entry, size := uint64(base+header+segment), uint64(header+segment+len(m.end))
	b := append([]byte{}, ident...)
	b = append32(o, b, current)
	b = append64(o, b, entry, header, 0)
	b = append32(o, b, m.flags())
	b = append16(o, b, header, segment, 1, 0, 0, 0)
	b = append32(o, b, load, readExecute)
	b = append64(o, b, 0, base, base, size, size, 0x1000)
	return append(b, m.end...)
}

// flags are those of the processor's present calling conventions, where it had others before.
func (m *machine) flags() uint32 {
	switch m.id {
	case emARM:
		return 0x05000000 // EABI 5
	case emPPC64:
		return 2 // ELFv2
	case emMIPS:
		return 0x80000000 // MIPS64R2, of n64
	case emLoongArch:
		return 0x43 // LP64D
	}
	return 0
}

func append16(o binary.ByteOrder, b []byte, values ...uint16) []byte {
	for _, v := range values {
		word := make([]byte, 2)
		o.PutUint16(word, v)
		b = append(b, word...)
	}
	return b
}

func append32(o binary.ByteOrder, b []byte, values ...uint32) []byte {
	for _, v := range values {
		word := make([]byte, 4)
		o.PutUint32(word, v)
		b = append(b, word...)
	}
	return b
}

func append64(o binary.ByteOrder, b []byte, values ...uint64) []byte {
	for _, v := range values {
		word := make([]byte, 8)
		o.PutUint64(word, v)
		b = append(b, word...)
	}
	return b
}
