"""The tuning profiles of configs/kafka_profiles.yaml: values for producers and consumers, with reasons."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.strict_model import StrictModel

DEFAULT_PROFILE = "default"


class Choice(StrictModel):
    """One setting's value and why it has it."""

    value: int | str
    reason: Annotated[str, Field(min_length=1)]


class Profile(StrictModel):
    """Choices by the names that they have under kafka.producer and kafka.consumer."""

    about: str
    producer: dict[str, Choice]
    consumer: dict[str, Choice]

    def values(self) -> dict[str, dict[str, int | str]]:
        """Return the values alone, by section."""
        return {
            section: {name: choice.value for name, choice in choices.items()}
            for section, choices in (("producer", self.producer), ("consumer", self.consumer))
        }


class ProfilesFile(StrictModel):
    """configs/kafka_profiles.yaml."""

    profiles: dict[str, Profile]


@cache
def load_profiles(path: Path = CONFIG_DIR / "kafka_profiles.yaml") -> dict[str, Profile]:
    """Read the profiles, by name. Raises SettingsError."""
    return load_model(path, ProfilesFile).profiles
