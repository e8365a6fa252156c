#include "textflag.h"

// The kernel enters here: SP points at argc. Calls hook(SP) by Go's register ABI, then becomes the Go runtime.
// The function is called through its func value, for a direct call would go through a wrapper that loads g from
// thread-local storage, which is not there yet.
TEXT wherry_start(SB),NOSPLIT|NOFRAME,$0
	MOVQ	SP, AX
	SUBQ	$64, SP
	MOVQ	AX, 32(SP)
	XORPS	X15, X15
	XORL	R14, R14
	MOVQ	·hook(SB), DX
	MOVQ	(DX), R12
	CALL	R12
	MOVQ	32(SP), SP
	JMP	_rt0_amd64_linux(SB)
