"""Read a YAML file into a strict model; every mistake becomes one line that says where and what.

A line reads ``configs/local.yaml:12: kafka.consumer.max_poll_records: was 0, Input should be
greater than or equal to 1``. Nothing is coerced and nothing is ignored.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from vnpulse.errors import SettingsError

CONFIG_DIR = Path(__file__).resolve().parents[1] / "configs"

_Model = TypeVar("_Model", bound=BaseModel)


def load_model(path: Path, model: type[_Model], overrides: Mapping[str, Any] | None = None) -> _Model:
    """Validate the YAML file at ``path`` as ``model``.

    ``overrides`` are dotted keys ("store.uri") with values that replace those of the file; they
    carry what comes from the environment. Raises SettingsError, one line for each mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_keys(root)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SettingsError(f"{path}{line}: not valid YAML: {problem}") from None
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: was a {type(document).__name__}, must be a mapping of settings")
    for key, value in (overrides or {}).items():
        _set(document, key.split("."), value)
    try:
        # Strict validation of JSON input accepts a list where a tuple is declared and a string
        # where a path is, and nothing else; of Python input it would refuse those two.
        return model.model_validate_json(json.dumps(document, default=_plain), strict=True)
    except ValidationError as error:
        items = error.errors(include_url=False)
        # A list is also "too short" when its items were refused: one mistake, one line.
        refused = {item["loc"][:-1] for item in items}
        items = [item for item in items if item["type"] != "too_short" or item["loc"] not in refused]
        lines = [_describe(path, root, model, item) for item in items]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from None


def _check_keys(node: Any, above: tuple[Any, ...] = ()) -> None:
    """Raise YAMLError for what a settings file cannot mean: a key twice, one that is no text, a loop."""
    if node in above:
        raise yaml.MarkedYAMLError(problem="contains itself", problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode):
        known: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":timestamp"):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            if key.value in known and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            known.add(key.value)
            _check_keys(value, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, (*above, node))


def _plain(value: object) -> str:
    """Dates and times, which YAML makes out of bare text, go back to text."""
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else str(value)


def _set(document: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        section = document.get(key)
        if section is None:
            section = document[key] = {}
        if not isinstance(section, dict):
            return  # a mistake in the file, which validation names
        document = section
    document[keys[-1]] = value


def _describe(path: Path, root: Any, model: type[BaseModel], item: Any) -> str:
    location = [part for part in item["loc"] if not str(part).startswith("function-")]
    line = _line_of(root, location)
    where = f"{path}:{line}" if line else str(path)
    key = ".".join(map(str, location)) or "(file)"
    if item["type"] == "extra_forbidden":
        known = sorted({name for m in _models_at(model, location[:-1]) for name in m.model_fields})
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{where}: {key}: unknown key; {hint}allowed: {', '.join(known)}"
    if item["type"] == "missing":
        return f"{where}: {key}: missing"
    problem = item["msg"].removeprefix("Value error, ")
    given = item.get("input")
    if isinstance(given, dict):
        # A rule about a whole section: its message says which values do not go together.
        return f"{where}: {key}: {problem}" if location else f"{where}: {problem}"
    shown = (
        "(secret)" if _may_be_secret(model, location) else json.dumps(given, default=str, ensure_ascii=False)
    )
    return f"{where}: {key}: was {shown}, {problem}"


def _line_of(node: Any, location: Sequence[str | int]) -> int | None:
    """Return the 1-based line of the deepest part of ``location`` that the file has."""
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]


def _models_at(model: type[BaseModel], location: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the models that may stand at ``location``; an index or a mapping's key is passed over."""
    models = [model]
    for part in location:
        inner = [
            found
            for candidate in models
            if (field := candidate.model_fields.get(str(part))) is not None
            for found in _models_in(field.annotation)
        ]
        models = inner or models
    return models


def _may_be_secret(model: type[BaseModel], location: Sequence[str | int]) -> bool:
    """Say whether the value at ``location`` is a secret, or stands where a section with secrets should."""
    return _is_secret(model, location) or any(
        _holds_secrets(section)
        for candidate in _models_at(model, location[:-1])
        if location and (field := candidate.model_fields.get(str(location[-1]))) is not None
        for section in _models_in(field.annotation)
    )


def _holds_secrets(model: type[BaseModel]) -> bool:
    return any(
        "SecretStr" in str(field.annotation) or any(map(_holds_secrets, _models_in(field.annotation)))
        for field in model.model_fields.values()
    )


def _is_secret(model: type[BaseModel], location: Sequence[str | int]) -> bool:
    return any(
        "SecretStr" in str(field.annotation)
        for candidate in _models_at(model, location[:-1])
        if location and (field := candidate.model_fields.get(str(location[-1]))) is not None
    )


def masked(model: BaseModel) -> dict[str, Any]:
    """Return ``model`` as plain data for printing, every secret as asterisks."""

    def plain(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return "**********"
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    return {key: plain(value) for key, value in model.model_dump().items()}
