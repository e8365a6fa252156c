#include "textflag.h"

// The kernel enters here: SP points at argc. Calls hook(SP) by Go's register ABI, then becomes the Go runtime.
// The function is called through its func value, for a direct call would go through a wrapper that loads g from
// thread-local storage, which is not there yet. If the function has left a script (wait.go) in the frame, at 64(SP),
// its system calls are done instead, the last one again and again.
TEXT wherry_start(SB),NOSPLIT|NOFRAME,$0
	MOVQ	SP, AX
	SUBQ	$640, SP
	MOVQ	AX, 32(SP)
	MOVQ	$0, 64(SP)
	LEAQ	wherry_start(SB), BX
	MOVQ	BX, 56(SP)
	XORPS	X15, X15
	XORL	R14, R14
	MOVQ	·hook(SB), DX
	MOVQ	(DX), R12
	CALL	R12
	LEAQ	64(SP), R12
	CMPQ	0(R12), $0
	JNE	step
	MOVQ	32(SP), SP
	JMP	_rt0_amd64_linux(SB)
next:
	ADDQ	$56, R12
step:
	MOVQ	0(R12), AX
	MOVQ	8(R12), DI
	MOVQ	16(R12), SI
	MOVQ	24(R12), DX
	MOVQ	32(R12), R10
	MOVQ	40(R12), R8
	MOVQ	48(R12), R9
	SYSCALL
	CMPQ	56(R12), $0
	JNE	next
	JMP	step
