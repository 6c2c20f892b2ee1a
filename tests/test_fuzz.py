"""The judge of fuzz_kmeans.py, on bytes of hypothesis' choice."""

import struct

from fuzz_kmeans import HEADER, case_of, judge
from hypothesis import example, given
from hypothesis import strategies as st

header = st.binary(min_size=HEADER, max_size=HEADER)


@given(st.builds(bytes.__add__, header, st.binary(max_size=400)))
@example(b"")
@example(b"]\x1a\xe5\xa2[\xff\xe6\xe6\0\0\0\0\0\0\0\x1d\xa5\xa5\xa5\xa5\xa7\xa2}\xe5\xdf\xa3\xff\xffU")
@example(bytes([1, 0, 1, 1, 1, 0, 0, 0, 50, 0]) + struct.pack("=4d", 0, 0, 1e-101, 1.5e-323))
@example(bytes([0, 0, 2]) + bytes(13) + b"\x81\x7f")
def test_any_bytes(data):
    judge(data)


def test_bytes_reach_sound_problems():
    """Or the judge would have nothing to judge."""
    case = case_of(bytes([1, 0, 0, 1, 3, 1, 0, 0, 50, 0]) + bytes(range(100)))
    assert case.X.shape == (50, 2) and case.k == 3 and case.options["max_iter"] == 101
