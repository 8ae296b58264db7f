"""The base of every configuration section: frozen, and an unknown key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

FilePath = Annotated[Path, AfterValidator(Path.absolute)]
"""A path in the configuration: a relative one is seen from the working directory of whoever reads
the file, and made absolute there, because actors work in folders of their own."""


class StrictModel(BaseModel):
    """A section of the configuration. Values are never coerced: "8" is not a number."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )
