"""The report and the model card as Markdown."""

from __future__ import annotations

from typing import Any

from training.headlines import FOLDER
from vnpulse.sentiment.classification import LABELS

_CARD = FOLDER / "card.md"
_FIGURES = "<!-- figures -->\n"


def markdown(report: dict[str, Any]) -> str:
    """Return the figures of ``report``."""
    lines = ["# Training report", ""]
    if report["missing"]:
        lines += [f"Made without {' and '.join(report['missing'])}: weaker than the model that ships.", ""]
    seeds = ", ".join(map(str, report["seeds"]))
    lines += [f"Seeds {seeds}, temperature {report['temperature']}, {report['minutes']} minutes.", ""]
    lines += ["| material | negative | neutral | positive |", "|---|---|---|---|"]
    for source, counts in report["material"].items():
        lines.append(f"| {source} | " + " | ".join(str(counts.get(label, 0)) for label in LABELS) + " |")
    lines += ["", f"Titles that the vocabulary was made for: {report['titles']}.", "", *_tables(report)]
    return "\n".join(lines) + "\n"


def card(report: dict[str, Any]) -> str:
    """Return the model card: ``card.md`` with the figures of ``report`` in their place."""
    return _CARD.read_text(encoding="utf-8").replace(_FIGURES, "\n".join(_tables(report)) + "\n")


def _tables(report: dict[str, Any]) -> list[str]:
    named = {f"unseen: {name}": one for name, one in report["unseen"].items()} | report["checks"]
    lines = [
        "| test | headlines | macro-F1 | accuracy | F1 neg / neu / pos | calibration error |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in named.items():
        each = " / ".join(f"{one['classes'][label]['f1']:.2f}" for label in LABELS)
        lines.append(
            f"| {name} | {one['count']} | {one['macro_f1']:.3f} | {one['accuracy']:.3f} | {each} |"
            f" {one['calibration_error']:.3f} |"
        )
    for name, one in named.items():
        lines += ["", f"Confusion, {name} (rows are true):", ""]
        lines += ["| | negative | neutral | positive | recall | precision |", "|---|---|---|---|---|---|"]
        for label, row in zip(LABELS, one["confusion"], strict=True):
            figures = one["classes"][label]
            lines.append(
                f"| {label} | {row[0]} | {row[1]} | {row[2]} | {figures['recall']:.2f} |"
                f" {figures['precision']:.2f} |"
            )
    return lines
