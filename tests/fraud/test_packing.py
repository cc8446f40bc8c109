import numpy as np
from hypothesis import example, given, strategies as st

from fraud.packing import LARGEST, pack, unpack, unpack_many

counts, cents = st.integers(0, 2 ** 32 - 1), st.integers(0, 2 ** 64 - 1)
numbers = st.tuples(counts, cents, counts, cents)


@given(numbers)
def test_packed_sums_hold_four_numbers(four):
    assert unpack(pack(*four)) == four


def test_packed_sums_add_and_subtract_like_their_numbers():
    both = pack(1, 2 ** 62, 3, 2 ** 62) + pack(10, 2 ** 62, 30, 5)
    assert unpack(both) == (11, 2 ** 63, 33, 2 ** 62 + 5)
    assert unpack(both - pack(10, 2 ** 62, 30, 5)) == (1, 2 ** 62, 3, 2 ** 62)


@given(st.lists(numbers))
@example([(0, LARGEST + 1, 0, LARGEST)])
def test_an_array_of_unpacked_sums_has_the_same_numbers_capped(drawn):
    unpacked = unpack_many([pack(*four) for four in drawn])
    assert unpacked.dtype == np.int64 and unpacked.shape == (len(drawn), 2, 2)
    assert unpacked.reshape(-1, 4).tolist() == [
        [min(number, LARGEST) for number in four] for four in drawn]
