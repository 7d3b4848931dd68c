from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.datasets.making import python2_pickle

from seewhy.datasets.unpickle import array_in, unpickle


class Runs:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.binary(), inner),
        max_leaves=20,
    )
)
def test_plain_values_come_back(value: Any) -> None:
    assert unpickle(python2_pickle(value)) == value


@pytest.mark.parametrize("protocol", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_bytes_comes_back(protocol: int | None, order: Any) -> None:
    array = np.arange(200, 212, dtype=np.uint8).reshape(3, 4).copy(order)
    written = pickle.dumps(array, protocol) if protocol is not None else python2_pickle(array)
    found = array_in(unpickle(written))
    assert found is not None
    np.testing.assert_array_equal(found, array)


def nested(levels: int) -> bytes:
    """{((((), ()), ((), ())), ...): 1}, whose hash takes 2 ** levels steps."""
    return b"\x80\x02})" + b"q\x00h\x00\x86" * levels + b"K\x01s."


HOSTILE = {
    "a call": (pickle.dumps(Runs(os.system, "exit 1"), 2), r"would run (posix|nt)\.system"),
    "eval": (b"c__builtin__\neval\n(S'1'\ntR.", r"would run __builtin__\.eval"),
    "numpy's own loader": (b"cnumpy\nload\n(S'x'\ntR.", r"would run numpy\.load"),
    "an attribute of numpy": (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "ndarray.dump"),
    "a class by number": (b"\x80\x02\x82\x01.", "EXT1"),
    "an instance": (b"(cos\nsystem\no.", "OBJ"),
    "an old instance": (b"(S'exit 1'\nios\nsystem\n.", "INST"),
    "a new object": (pickle.dumps(OrderedDict, 2), r"collections\.OrderedDict"),
    "a persistent name": (b"Pname\n.", "PERSID"),
    "an array of numbers": (python2_pickle(np.zeros(2)), "an array of b'f8'"),
    "an array of objects": (pickle.dumps(np.array([{}]), 2), "an array of b?'O8'"),
    "a codec that unpacks": (b"c_codecs\nencode\n(Vx\nVbz2\ntR.", "text in 'bz2'"),
    "a changed name": (b"c_codecs\nencode\n}b.", "would change what it runs"),
    "a changed class": (b"cnumpy\nndarray\nN}S'x'\nK\x01s\x86b.", "would change what it runs"),
    "a memo of 64 GiB": (b"\x80\x02Nr" + struct.pack("<I", 2**32 - 2) + b".", "reserves memory"),
    "a text memo": (b"Np4000000000\n.", "reserves memory"),
    "tuples of tuples": (nested(40), "too many tuples"),
    "a list of lists": (b"\x80\x02" + b"]" * 2**21 + b"N.", "too many instructions"),
    "an end too soon": (b"\x80\x02]", "damaged"),
    "bytes that are not there": (b"\x80\x02T\xff\xff\xff\x7fx.", "damaged"),
    "a number without end": (b"L" + b"9" * 100_000 + b"L\n.", "damaged"),
    "an array of another size": (
        python2_pickle(np.zeros(4, np.uint8)).replace(b"T\x04\0\0\0\0\0\0\0tb", b"T\x01\0\0\0\0tb"),
        "damaged",
    ),
    "text": (b"hello", "damaged"),
    "nothing": (b"", "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused(name: str) -> None:
    content, message = HOSTILE[name]
    with pytest.raises(pickle.UnpicklingError, match=message):
        unpickle(content)


@given(st.data())
def test_damage_raises_one_kind_of_error(data: st.DataObject) -> None:
    content = bytearray(python2_pickle({"data": np.zeros((2, 4), np.uint8), "labels": [1, 2]}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        unpickle(bytes(content))
    except pickle.UnpicklingError as problem:
        assert "\n" not in str(problem)  # noqa: PT017 -- most damage is no error
