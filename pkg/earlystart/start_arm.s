#include "textflag.h"

// The kernel enters here: R13 points at argc. Calls hook(R13), whose argument lies above the slot of the link
// register, then becomes the Go runtime. If the function has left a script (wait.go) in the frame, at 64(R13), its
// system calls are done instead, the last one again and again.
TEXT wherry_start(SB),NOSPLIT|NOFRAME,$0
	MOVW	R13, R4
	SUB	$640, R13
	MOVW	R4, 16(R13)
	MOVW	R4, 4(R13)
	MOVW	$0, R1
	MOVW	R1, 64(R13)
	MOVW	$wherry_start(SB), R1
	MOVW	R1, 56(R13)
	MOVW	$0, g
	MOVW	$·hook(SB), R7
	MOVW	(R7), R7
	MOVW	(R7), R1
	BL	(R1)
	MOVW	64(R13), R7
	ADD	$64, R13, R8
	CMP	$0, R7
	BNE	step
	MOVW	16(R13), R13
	B	_rt0_arm_linux(SB)
next:
	ADD	$28, R8
step:
	MOVW	0(R8), R7
	MOVW	4(R8), R0
	MOVW	8(R8), R1
	MOVW	12(R8), R2
	MOVW	16(R8), R3
	MOVW	20(R8), R4
	MOVW	24(R8), R5
	SWI	$0
	MOVW	28(R8), R7
	CMP	$0, R7
	BNE	next
	B	step
