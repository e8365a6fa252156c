#include "textflag.h"

// The kernel enters here: RSP points at argc. Calls hook(RSP) by Go's register ABI, then becomes the Go runtime.
TEXT wherry_start(SB),NOSPLIT|NOFRAME,$0
	MOVD	RSP, R0
	SUB	$64, RSP
	MOVD	R0, 48(RSP)
	MOVD	ZR, g
	MOVD	·hook(SB), R26
	MOVD	(R26), R1
	CALL	(R1)
	MOVD	48(RSP), R1
	MOVD	R1, RSP
	JMP	_rt0_arm64_linux(SB)
