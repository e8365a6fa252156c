#include "textflag.h"

// The kernel enters here: RSP points at argc. Calls hook(RSP) by Go's register ABI, then becomes the Go runtime. If
// the function has left a script (wait.go) in the frame, at 64(RSP), its system calls are done instead, the last one
// again and again.
TEXT wherry_start(SB),NOSPLIT|NOFRAME,$0
	MOVD	RSP, R0
	SUB	$640, RSP
	MOVD	R0, 48(RSP)
	MOVD	ZR, 64(RSP)
	MOVD	$wherry_start(SB), R1
	MOVD	R1, 56(RSP)
	MOVD	ZR, g
	MOVD	·hook(SB), R26
	MOVD	(R26), R1
	CALL	(R1)
	MOVD	64(RSP), R8
	ADD	$64, RSP, R19
	CBNZ	R8, step
	MOVD	48(RSP), R1
	MOVD	R1, RSP
	JMP	_rt0_arm64_linux(SB)
next:
	ADD	$56, R19
step:
	MOVD	0(R19), R8
	MOVD	8(R19), R0
	MOVD	16(R19), R1
	MOVD	24(R19), R2
	MOVD	32(R19), R3
	MOVD	40(R19), R4
	MOVD	48(R19), R5
	SVC
	MOVD	56(R19), R8
	CBNZ	R8, next
	JMP	step
