"""Every error that vnpulse raises on purpose.

::

    VnpulseError
    ├── UserError                a mistake of the person at the keyboard: one line, exit code 2
    │   ├── SettingsError        a configuration file or environment variable is wrong
    │   └── InputFileError       a file given to a command cannot be used
    ├── StoreUnavailable         the document store does not answer (retriable)
    ├── BrokerUnavailable        no Kafka broker answers (retriable)
    ├── AnalyzerUnavailable      an analyzer actor is away or restarting (retriable)
    ├── SchemaUnavailable        an Avro schema is not to be had for now (retriable)
    ├── RayUnavailable           the head of the Ray cluster does not answer (retriable)
    ├── StartOver                a consumer must be replaced: what it holds may not be what is committed
    │   └── PartitionTaken       and somebody else consumes its partition now
    ├── KafkaRefused             the broker said no (vnpulse.kafka.connection)
    │   └── KafkaDenied          to our credentials or rights: an operator can mend it (retriable)
    ├── StoreRefused             the store said no (vnpulse.store.connection)
    └── EmbeddedStackError       the embedded stack (vnpulse.embedded.errors draws its own tree)

``retriable`` belongs to the class, so retry code asks the type and never parses a message.
"""

from __future__ import annotations

from typing import ClassVar


class VnpulseError(Exception):
    """Base class; ``str(error)`` is one line fit for a terminal."""

    retriable: ClassVar[bool] = False


class UserError(VnpulseError):
    """What the user asked for cannot be done as asked."""


class SettingsError(UserError):
    """A setting is unknown, mistyped or out of range."""


class InputFileError(UserError):
    """A data file is missing, unreadable or lacks columns."""


class StoreUnavailable(VnpulseError):
    """The document store cannot be reached or refused a write for now."""

    retriable = True


class BrokerUnavailable(VnpulseError):
    """No Kafka broker answered within the deadline."""

    retriable = True


class AnalyzerUnavailable(VnpulseError):
    """An analyzer actor did not answer; it is restarting or its node is gone."""

    retriable = True


class SchemaUnavailable(VnpulseError):
    """The schema registry does not answer or refuses us, or lacks the schema that we write with."""

    retriable = True


class RayUnavailable(VnpulseError):
    """Ray's head gave no answer; it is restarting, cut off or overloaded."""

    retriable = True


class StartOver(VnpulseError):
    """It is not known what of a consumer's work counts; a new one takes up what is committed."""


class PartitionTaken(StartOver):
    """A partition was given to another process, which has claimed it: this one must stop."""
