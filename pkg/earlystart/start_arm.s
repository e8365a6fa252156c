#include "textflag.h"

// The kernel enters here: R13 points at argc. Calls hook(R13), whose argument lies above the slot of the link
// register, then becomes the Go runtime.
TEXT wherry_start(SB),NOSPLIT|NOFRAME,$0
	MOVW	R13, R4
	SUB	$32, R13
	MOVW	R4, 16(R13)
	MOVW	R4, 4(R13)
	MOVW	$0, g
	MOVW	$·hook(SB), R7
	MOVW	(R7), R7
	MOVW	(R7), R1
	BL	(R1)
	MOVW	16(R13), R13
	B	_rt0_arm_linux(SB)
