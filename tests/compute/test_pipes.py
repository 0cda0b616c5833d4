"""Lines over pipes that never block."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.compute.pipes import LineReader, LineWriter


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b"")), max_size=20))
def test_lines_come_as_they_went_whatever_the_pieces(lines: list[bytes]) -> None:
    read, write = os.pipe()
    reader, got = LineReader(read), list[bytes]()
    data = b"".join(line + b"\n" for line in lines)
    for at in range(0, len(data), 37):
        os.write(write, data[at : at + 37])
        more, open_ = reader.read()
        got += more
        assert open_
    os.write(write, b"half a line")
    os.close(write)
    while True:
        more, open_ = reader.read()
        got += more
        if not open_:
            break
    os.close(read)
    assert got == lines


def test_a_slow_reader_never_blocks_the_writer() -> None:
    read, write = os.pipe()
    writer, reader = LineWriter(write), LineReader(read)
    sent = [bytes([65 + at % 26]) * 300_000 for at in range(10)]
    for line in sent:
        writer.put(line + b"\n")
    assert writer.pending
    got: list[bytes] = []
    while writer.pending or len(got) < len(sent):
        got += reader.read()[0]
        writer.flush()
    os.close(read)
    os.close(write)
    assert got == sent


def test_a_reader_that_is_gone_is_told() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        LineWriter(write).put(b"x\n")
    os.close(write)
