"""``channels``: where alerts go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vnpulse.strict_model import FilePath, StrictModel


class ConsoleChannel(StrictModel):
    """Alerts as lines on the pipeline's standard output."""

    kind: Literal["console"]


class JsonLinesChannel(StrictModel):
    """Alerts appended to a file, one JSON object a line, on the machine where the actor runs."""

    kind: Literal["jsonl"]
    path: FilePath


Channel = Annotated[ConsoleChannel | JsonLinesChannel, Field(discriminator="kind")]
