"""How we reach the document store, and how its errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from vnpulse.errors import SettingsError, StoreUnavailable, VnpulseError
from vnpulse.store.settings import StoreSettings

SERVER_SELECTION_TIMEOUT_MS = 5_000
SOCKET_TIMEOUT_MS = 30_000

Document = dict[str, Any]


class _PlainInt(TypeDecoder):
    """pymongo reads 64-bit integers as a class of its own, which no encoder of ours knows."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, type_registry=TypeRegistry([_PlainInt()]))

DURABLE = WriteConcern(w="majority", j=True)
"""Offsets are committed after the write, so what is acknowledged must survive a kill."""


class StoreRefused(VnpulseError):
    """The store answered, and said no."""


def connect(settings: StoreSettings) -> Database[Document]:
    """Return the database. Connects at first use; raises SettingsError for an unusable URI."""
    assert settings.uri is not None  # resolved by now
    try:
        client: MongoClient[Document] = MongoClient(
            settings.uri.get_secret_value(),
            serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
            socketTimeoutMS=SOCKET_TIMEOUT_MS,
            appname="vnpulse",
        )
    except (InvalidURI, ValueError) as error:
        raise SettingsError(f"store.uri (MONGODB_URI) is not a MongoDB address: {error}") from None
    return client.get_database(
        settings.database,
        codec_options=CODEC,
        write_concern=DURABLE,
        read_concern=ReadConcern("majority"),
    )


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the driver's errors into ours; addresses may hold passwords and are not repeated."""
    try:
        yield
    except (
        ServerSelectionTimeoutError,
        NetworkTimeout,
        AutoReconnect,
        ConnectionFailure,
        ExecutionTimeout,
    ) as error:
        raise StoreUnavailable(
            f"{doing}: the document store does not answer ({type(error).__name__})"
        ) from error
    except OperationFailure as error:
        raise StoreRefused(f"{doing}: the document store refused: {error.details or error}") from error
    except PyMongoError as error:
        raise StoreRefused(f"{doing}: {error}") from error
