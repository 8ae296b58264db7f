"""Every mistake in a file becomes one line: where, which key, what was given, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr

from vnpulse.configuration import load_model, masked
from vnpulse.errors import SettingsError
from vnpulse.strict_model import StrictModel


class Engine(StrictModel):
    cylinders: Annotated[int, Field(ge=1, le=16)] = 4
    fuel: str = "diesel"


class Car(StrictModel):
    name: str
    engine: Engine = Engine()
    wheels: tuple[Engine, ...] = ()
    key_code: SecretStr | None = None
    built: str = ""
    by_year: dict[str, Engine] = Field(default_factory=dict)


@pytest.fixture
def load(tmp_path: Path) -> Any:
    path = tmp_path / "car.yaml"

    def read(text: str | bytes, overrides: dict[str, Any] | None = None) -> Car:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_model(path, Car, overrides)

    return read


def lines(load: Any, tmp_path: Path, text: str | bytes, overrides: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(text, overrides)
    return [line.replace(str(tmp_path / "car.yaml"), "FILE") for line in str(caught.value).splitlines()]


def test_a_good_file_is_read(load: Any) -> None:
    car = load("name: A\nengine: {cylinders: 6}\nwheels: [{fuel: none}]\nbuilt: 2024-01-02\n")
    assert (car.name, car.engine.cylinders, car.wheels[0].fuel, car.built) == ("A", 6, "none", "2024-01-02")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("name: A\nengine:\n  cylinders: 0", "FILE:3: engine.cylinders: was 0, ", id="small"),
        pytest.param("engine: {cylinders: 99}\nname: A", "FILE:1: engine.cylinders: was 99, ", id="large"),
        pytest.param('name: A\nengine:\n  cylinders: "6"', 'FILE:3: engine.cylinders: was "6", ', id="text"),
        pytest.param("name: A\nengine:\n  cylinders: yes", "FILE:3: engine.cylinders: was true, ", id="yes"),
        pytest.param("name: A\nengine:\n  cylinders: 4.0", "FILE:3: engine.cylinders: was 4.0, ", id="float"),
        pytest.param("name: A\nengine:\n", "FILE:2: engine: was null, ", id="empty section"),
        pytest.param("name: 5\n", "FILE:1: name: was 5, ", id="number for text"),
        pytest.param("name: A\nwheels:\n  - {}\n  - cylinders: 0", "FILE:4: wheels.1.cylinders: ", id="list"),
        pytest.param("name: A\nby_year:\n  x: {cylinders: 0}", "FILE:3: by_year.x.cylinders: ", id="map"),
        pytest.param("engine: {}\n", "FILE: name: missing", id="missing"),
        pytest.param("", "FILE: name: missing", id="empty file"),
        pytest.param("# nothing\n", "FILE: name: missing", id="comments only"),
    ],
)  # fmt: skip
def test_a_mistake_says_where_it_is_and_what_was_given(
    load: Any, tmp_path: Path, text: str, line: str
) -> None:
    found = lines(load, tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_a_value_out_of_range_says_what_is_allowed(load: Any, tmp_path: Path) -> None:
    [line] = lines(load, tmp_path, "name: A\nengine: {cylinders: 0}\n")
    assert line == "FILE:2: engine.cylinders: was 0, Input should be greater than or equal to 1"


def test_a_misspelt_key_gets_a_hint_and_the_list_of_what_there_is(load: Any, tmp_path: Path) -> None:
    [line] = lines(load, tmp_path, "name: A\nengine:\n  cilinders: 4\n")
    assert line == ("FILE:3: engine.cilinders: unknown key; did you mean cylinders? allowed: cylinders, fuel")


def test_a_key_that_resembles_nothing_gets_the_list_alone(load: Any, tmp_path: Path) -> None:
    [line] = lines(load, tmp_path, "name: A\nxyzzy: 1\n")
    assert line.startswith("FILE:2: xyzzy: unknown key; allowed: ")
    assert "mean" not in line
    assert "wheels" in line


def test_a_misspelt_key_inside_a_list_is_compared_with_the_keys_of_its_items(
    load: Any, tmp_path: Path
) -> None:
    [line] = lines(load, tmp_path, "name: A\nwheels:\n  - fule: x\n")
    assert line.startswith("FILE:3: wheels.0.fule: unknown key; did you mean fuel? ")


def test_every_mistake_has_its_line(load: Any, tmp_path: Path) -> None:
    text = "engine:\n  cylinders: 0\n  colour: red\nwheels: 4\n"
    assert [line.split(": ")[0] for line in sorted(lines(load, tmp_path, text))] == [
        "FILE", "FILE:2", "FILE:3", "FILE:4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "start"),
    [
        pytest.param("name: A\nengine: {cylinders: 4\n", "FILE:3: not valid YAML", id="open brace"),
        pytest.param("name: A\n\tengine: 1\n", "FILE:2: not valid YAML", id="tab"),
        pytest.param("name: !!python/object:os.system A\n", "FILE:1: not valid YAML", id="python object"),
        pytest.param("- a\n- b\n", "FILE: was a list, must be a mapping", id="a list"),
        pytest.param("just words\n", "FILE: was a str, must be a mapping", id="words"),
        pytest.param(b"name: \xff\xfe\n", "FILE: cannot be read", id="not UTF-8"),
        pytest.param(b"name: a\x00b\n", "FILE: not valid YAML", id="a zero byte"),
        pytest.param("name: A\n---\nname: B\n", "FILE:2: not valid YAML", id="two documents"),
    ],
)
def test_what_is_no_settings_file_is_one_line(
    load: Any, tmp_path: Path, text: str | bytes, start: str
) -> None:
    [line] = lines(load, tmp_path, text)
    assert line.startswith(start)


def test_a_key_given_twice_is_a_mistake_because_one_of_them_would_be_ignored(
    load: Any, tmp_path: Path
) -> None:
    [line] = lines(load, tmp_path, "name: A\nengine: {cylinders: 6}\nengine: {cylinders: 8}\n")
    assert line.startswith("FILE:3: ")
    assert "engine" in line


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("name: A\n2024-01-02: x\n", id="a date as a key"),
        pytest.param("name: &a [*a]\n", id="a list that contains itself"),
        pytest.param("name: A\n? [1, 2]\n: x\n", id="a list as a key"),
        pytest.param("name: A\n1: x\n", id="a number as a key"),
    ],
)
def test_strange_yaml_is_refused_like_any_other_mistake(load: Any, tmp_path: Path, text: str) -> None:
    assert lines(load, tmp_path, text)


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_model(tmp_path / "none.yaml", Car)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_model(tmp_path, Car)


def test_a_byte_order_mark_does_not_matter(load: Any) -> None:
    assert load(b"\xef\xbb\xbfname: A\n").name == "A"


def test_overrides_replace_and_add(load: Any) -> None:
    car = load("name: A\nkey_code: old\n", {"key_code": "new", "engine.fuel": "none"})
    assert car.key_code.get_secret_value() == "new"
    assert car.engine.fuel == "none"


def test_an_override_does_not_hide_a_section_that_is_no_section(load: Any, tmp_path: Path) -> None:
    [line] = lines(load, tmp_path, "name: A\nengine: 5\n", {"engine.fuel": "none"})
    assert line.startswith("FILE:2: engine: ")


def test_anchors_and_merges_are_read_and_mistakes_in_them_are_found(load: Any, tmp_path: Path) -> None:
    text = "name: A\nengine: &e {cylinders: 6}\nwheels: [*e, {<<: *e, fuel: none}]\n"
    assert [wheel.cylinders for wheel in load(text).wheels] == [6, 6]
    assert len(lines(load, tmp_path, text.replace("6", "0"))) == 3


@pytest.mark.parametrize("wrong", ["12345678", "[hunter2]", "{code: hunter2}"])
def test_a_mistaken_secret_is_not_shown(load: Any, tmp_path: Path, wrong: str) -> None:
    [line] = lines(load, tmp_path, f"name: A\nkey_code: {wrong}\n")
    assert line.startswith("FILE:2: key_code: ")
    assert "hunter2" not in line
    assert "12345678" not in line


def test_masked_shows_everything_but_secrets(load: Any) -> None:
    shown = masked(load("name: A\nkey_code: hunter2\nwheels: [{cylinders: 2}]\n"))
    assert shown["key_code"] == "**********"
    assert shown["name"] == "A"
    assert shown["wheels"] == [{"cylinders": 2, "fuel": "diesel"}]
    assert "hunter2" not in str(shown)
