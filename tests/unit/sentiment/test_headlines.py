from __future__ import annotations

import pytest

from vnpulse.errors import InputFileError
from vnpulse.sentiment.headlines import Record, read_records


def read(text: str, *fields: str) -> list[Record]:
    return list(read_records("f", text.encode().splitlines(keepends=True), *fields))


def test_tsv_by_column_names_in_any_order() -> None:
    assert read("﻿text\tlabel\r\nlãi\tpositive\r\n\r\nlỗ\tnegative", "label", "text") == [
        Record(2, ("positive", "lãi")),
        Record(4, ("negative", "lỗ")),
    ]


def test_tsv_quotes_are_taken_off_and_a_lone_one_stays() -> None:
    assert [r.values[0] for r in read('title\n"""Bão"" giá"\n"Sóng" thép\n', "title")] == [
        '"Bão" giá',
        '"Sóng" thép',
    ]


def test_json_lines() -> None:
    assert read('{"title": "lãi", "n": 1}\n\n{"title": "lỗ"}\n', "title") == [
        Record(1, ("lãi",)),
        Record(3, ("lỗ",)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: is empty"),
        ("a\tb\n", "f:1: columns are missing: title; it has a, b"),
        ("title\tb\nx\n", "f:2: has 1 fields, the header has 2"),
        ('{"title": "x"}\n{"title": \n', "f:2: not JSON"),
        ('{"title": "x"}\n[]\n', "f:2: was a list, must be a JSON object"),
        ('{"title": "x"}\n{"t": "x"}\n', "f:2: title is missing; it has t"),
        ('{"title": 5}\n', "f:1: title was a int, must be text"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputFileError, match="^" + message.replace("[", r"\[")):
        read(text, "title")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InputFileError, match="f:2: is not UTF-8"):
        list(read_records("f", [b"title\n", b"\xff\xfe\n"], "title"))
