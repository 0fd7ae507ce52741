"""What the scanners of text files say they found, and the shape of what they look for: numbers alone, so that
those who only name them need not wait for numba."""

from __future__ import annotations

OK, ENDS_EARLY, NOT_NUMBER, NOT_INTEGER, NOT_FINITE, TOO_FEW, TOO_MANY, OUT_OF_RANGE, TRAILING = range(9)
# What the scanner of .skeleton files was reading.
FRAME_COUNT, BODY_COUNT, BODY, JOINT_COUNT, JOINT = range(5)

NTU_JOINTS = 25
NTU_BODY_FIELDS = 10
NTU_JOINT_FIELDS = 12
PKU_NUMBERS = 150
