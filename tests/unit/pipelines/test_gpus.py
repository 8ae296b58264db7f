"""Which analyzers get the GPUs of a cluster, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actors.gpu_watch import ON_CPU, STARTING
from actors.ray_port import ActorSpec
from pipelines.wiring import Cluster, analyzer_actors, fit_to_gpus, require_gpus
from tests.unit.pipelines.test_wiring import PARTITIONS, settings
from vnpulse.errors import UserError
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.technical.settings import TechnicalSettings


def analyzers(**placement: Any) -> list[ActorSpec]:
    return analyzer_actors(Cluster(settings(**placement), PARTITIONS))


def on_gpus(specs: list[ActorSpec], gpus: Mapping[str, float], seats: Mapping[str, str]) -> set[str]:
    return {spec.name for spec in fit_to_gpus(specs, gpus, seats)[0] if spec.num_gpus}


def test_gpus_are_asked_for_only_where_there_are_any() -> None:
    specs = analyzers(technical={"num_gpus": 0.25})
    assert fit_to_gpus(specs, {"a": 1.0}, {}) == (specs, [])
    fitted, [remark] = fit_to_gpus(specs, {}, {})
    assert [spec.num_gpus for spec in fitted] == [0.0, 0.0]
    assert [spec.name for spec in fitted] == [spec.name for spec in specs]
    assert remark == "this Ray cluster has no GPU; on CPUs instead: technical/0"


@pytest.mark.parametrize(
    ("share", "shards", "gpus", "fit"),
    [
        (0.25, 6, {"a": 1.0}, 4),
        (0.5, 5, {"a": 1.0, "b": 1.0}, 4),
        (0.75, 4, {"a": 2.0, "b": 1.0}, 3),
        (0.75, 6, {"a": 4.0}, 4),
        (1.0, 2, {"a": 4.0}, 2),
        (2.0, 3, {"a": 3.0, "b": 2.0}, 2),
    ],
)
def test_who_finds_no_gpu_any_more_is_put_on_a_cpu(
    share: float, shards: int, gpus: dict[str, float], fit: int
) -> None:
    specs = analyzers(sentiment={"num_gpus": share, "shards": shards})
    fitted, remarks = fit_to_gpus(specs, gpus, {})
    assert sum(spec.num_gpus > 0 for spec in fitted) == fit
    names = ", ".join(f"sentiment/{n}" for n in range(fit, shards))
    assert remarks == ([f"no GPU is left in this Ray cluster; on CPUs instead: {names}"] if names else [])


SHARDS = {"sentiment": {"num_gpus": 0.5, "shards": 4}}


def test_who_has_a_gpu_keeps_it_and_others_get_what_is_left() -> None:
    specs, seats = analyzers(**SHARDS), {"sentiment/2": "a", "sentiment/3": "b"}
    assert on_gpus(specs, {"a": 1.0, "b": 0.5}, seats) == {"sentiment/2", "sentiment/3", "sentiment/0"}
    assert on_gpus(specs, {"a": 2.0}, {"sentiment/3": "a"}) == {f"sentiment/{n}" for n in range(4)}
    assert on_gpus(specs, {"a": 1.0}, {"sentiment/3": STARTING}) == {"sentiment/3", "sentiment/0"}
    # Ray's head may not know a node for a moment; who answers is there.
    assert on_gpus(specs, {}, seats) == {"sentiment/2", "sentiment/3"}


def test_who_is_not_to_get_a_gpu_leaves_it_to_others_and_nobody_says_that_there_is_none() -> None:
    specs, seats = analyzers(**SHARDS), {"sentiment/0": ON_CPU, "sentiment/1": ON_CPU}
    assert on_gpus(specs, {"a": 1.0}, seats) == {"sentiment/2", "sentiment/3"}
    assert fit_to_gpus(specs, {"a": 2.0}, seats)[1] == []
    assert fit_to_gpus(specs, {"a": 1.0}, seats)[1] == [
        "no GPU is left in this Ray cluster; on CPUs instead: sentiment/0, sentiment/1"
    ]


def test_who_is_put_on_a_cpu_computes_there_whatever_the_settings_say() -> None:
    wanted = settings(technical={"num_gpus": 1.0}, sentiment={"num_gpus": 1.0}).model_copy(
        update={
            "technical": TechnicalSettings(device="cuda"),
            "sentiment": SentimentSettings(device="cuda", dtype="bfloat16", compile=True),
        }
    )
    specs = analyzer_actors(Cluster(wanted, PARTITIONS))
    (technical, sentiment), _ = fit_to_gpus(specs, {}, {})
    assert technical.arguments[0].technical == TechnicalSettings(device="cpu")
    assert sentiment.arguments[0].sentiment == SentimentSettings(device="cpu")
    assert technical.arguments[1:] == specs[0].arguments[1:]


def test_computing_on_gpus_without_any_is_a_mistake_of_the_settings() -> None:
    plain = settings(technical={"num_gpus": 0.25})
    require_gpus(plain, {})
    with_gpus = plain.model_copy(update={"technical": TechnicalSettings(device="cuda")})
    require_gpus(with_gpus, {"a": 1.0})
    with pytest.raises(UserError, match="no node of the Ray cluster at auto has a GPU"):
        require_gpus(with_gpus, {})
