"""Texts from a file for the command line: TSV with a header, or JSON lines, read as a stream.

A line is a record in both, so every mistake has its line number and memory holds one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from vnpulse.errors import InputFileError


class Record(NamedTuple):
    """The wanted fields of one record, and the 1-based line that it stands on."""

    line: int
    values: tuple[str, ...]


def read_records(name: str, lines: Iterable[bytes], *fields: str) -> Iterator[Record]:
    """Yield ``fields`` of each record in ``lines``; empty lines are passed over.

    JSON lines if the first line begins with a brace, else TSV whose first line names the columns.
    A TSV field may be quoted as spreadsheets do. Errors speak of ``name``. Raises InputFileError
    for the first line that cannot be used.
    """
    numbered = _decoded(name, lines)
    first = next(numbered, None)
    if first is None:
        raise InputFileError(f"{name}: is empty")
    number, line = first
    if line.lstrip().startswith("{"):
        yield _from_json(name, number, line, fields)
        for number, line in numbered:
            yield _from_json(name, number, line, fields)
        return
    columns = [_unquoted(cell) for cell in line.split("\t")]
    missing = [field for field in fields if field not in columns]
    if missing:
        raise InputFileError(
            f"{name}:{number}: columns are missing: {', '.join(missing)}; it has {', '.join(columns)}"
        )
    places = [columns.index(field) for field in fields]
    for number, line in numbered:
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise InputFileError(f"{name}:{number}: has {len(cells)} fields, the header has {len(columns)}")
        yield Record(number, tuple(_unquoted(cells[place]) for place in places))


def _decoded(name: str, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputFileError(f"{name}:{number}: is not UTF-8: {error.reason}") from None
        if line.strip():
            yield number, line


def _from_json(name: str, number: int, line: str, fields: tuple[str, ...]) -> Record:
    try:
        document = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise InputFileError(f"{name}:{number}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputFileError(f"{name}:{number}: was a {type(document).__name__}, must be a JSON object")
    for field in fields:
        if field not in document:
            raise InputFileError(f"{name}:{number}: {field} is missing; it has {', '.join(document)}")
        if not isinstance(document[field], str):
            raise InputFileError(
                f"{name}:{number}: {field} was a {type(document[field]).__name__}, must be text"
            )
    return Record(number, tuple(document[field] for field in fields))


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell
