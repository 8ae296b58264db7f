"""``store``: where the document store is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from vnpulse.strict_model import StrictModel


class StoreSettings(StrictModel):
    """The document store. ``uri`` may hold a password, so it comes from MONGODB_URI or a file."""

    uri: SecretStr | None = None
    database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "vnpulse"
