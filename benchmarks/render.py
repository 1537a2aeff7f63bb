"""`python -m benchmarks.render`: write RESULTS.md from every file in results/. It is never edited by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.judging.figures.frontier import can_be_drawn
from benchmarks.results import RESULTS
from loops.evaluation.generation.suite import task_name
from loops.evaluation.membership.summary import (
    CEILING,
    OURS,
    TOPIC,
    aims,
    concepts_of,
    exchange_rows,
    method_rows,
    methods_of,
    over_seeds,
    quality_rows,
    spread_over_seeds,
)

OUTPUT = RESULTS.parent / "RESULTS.md"
DIGITS = 3
GENERATION = (
    "generator",
    "inside_and_readable",
    "inside",
    "coherent_share",
    *(f"cluster_score_{which}" for which in "abc"),
    "membership",
    "kl_per_token",
    "energy_to_filter",
    *(f"distinct{n}" for n in (1, 2, 3)),
    "vendi_ratio",
    "copied_8gram_share",
    "samples",
    "tokens_per_second",
    "seconds",
)
"""Columns of generators, the one that counts first."""
ROUNDS = ("round", "by_adapter", "agreement", "base_agreement", "coherence", "distinct2")
TRAINING = ("lesson_loss", "pairs", "preference", "rms_nats", "exponent", "seconds")
STITCH = (
    "vector",
    "unexplained_variance",
    "cosine_native",
    "returned_cosine",
    "effect",
    "behavioural_ratio",
    "ratio_error",
    "leaning_ratio",
    "ratio_mean",
    "ratio_mean_error",
    "coherence",
    "samples",
)
"""Columns of stitched vectors."""
SPREAD = (TOPIC, OURS, "prototype", CEILING)
"""Methods of an evaluation that are shown with their spread over seeds."""
INTRODUCTION = """# Results

Rendered from `benchmarks/results/*.json` by `python -m benchmarks.render`; edit neither. Rows named
`basin` are ours, `gold-` were given gold labels, `topic-` the topic alone, `prompt-` an instruction.
A dash means: not measured, or no meaning here.
"""


def render(folder: Path = RESULTS) -> str:
    """The whole of RESULTS.md: a section for each results file, in the order of their names."""
    sections = [
        render_file(path.stem, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("*.json"))
    ]
    return "\n".join([INTRODUCTION, *sections])


def render_file(name: str, content: Mapping[str, Any]) -> str:
    """Heading, how it was made, and one table; what is the same in every row is said once, above it.

    A file of many rows (`SUMMARIES`) is shown as a few tables of means instead.
    """
    rows, header = content["rows"], content["header"]
    lines = [
        f"## {name}",
        "",
        f"`{header['command']}` at {header['commit']}; {header['machine']}; {_libraries(header)}.",
    ]
    if summary := SUMMARIES.get(name) or SUMMARIES.get(name.partition("_")[0]):
        return "\n".join([*lines, "", *summary(rows), ""])
    columns = list(dict.fromkeys(key for row in rows for key in row))
    same = [
        column
        for column in columns
        if len(rows) > 1
        and len({json.dumps(row.get(column)) for row in rows}) == 1
        and rows[0].get(column) is not None
    ]
    shown = [column for column in columns if column not in same]
    if same:
        lines += [
            "",
            "In every row: " + ", ".join(f"{column} {cell(rows[0][column])}" for column in same) + ".",
        ]
    return "\n".join([*lines, "", *table(shown, rows), ""])


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a Markdown table; columns that hold numbers are set to the right."""
    numeric = {column for column in columns if all(_is_number(row.get(column)) for row in rows)}
    return [
        _line([column.replace("_", " ") for column in columns]),
        _line(["---:" if column in numeric else "---" for column in columns]),
        *(_line([cell(row.get(column)) for column in columns]) for row in rows),
    ]


def membership_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of the summary of every method, and of the mean AP over seeds of every concept and method."""
    seeds = len({row["seed"] for row in rows})
    summary = method_rows(rows)
    lines = [
        f"{len(rows)} rows, {seeds} seeds, all on documents that nothing was fitted on. Methods over all concepts and seeds: "
        "worst gain is of AP on the topic's, sizes found are within a factor of 1.5 of the true one, flagged are the "
        "pointers that a method says point at nothing (of `basin-shuffled` and `basin-function-words`, rightly).",
        "",
        *table(list(summary[0]), summary),
        "",
        "What the refiner is for, over all concepts and seeds; the aims were set before anything was measured:",
        "",
        *table(["of all pointers", "measured", "aim"], aims(rows)),
    ]
    if banded := quality_rows(rows):
        lines += [
            "",
            "Median PGR alone by how good the pointer was: the precision of the topic at the concept's true size, with "
            "documents.",
            "",
            *table(list(banded[0]), banded),
        ]
    if exchanged := exchange_rows(rows):
        lines += [
            "",
            "Passages that the topic claimed and the concept threw out, and those it took in, on seen documents:",
        ]
        lines += ["", *table(list(exchanged[0]), exchanged)]
    for kind, words in (("single", "read alone"), ("pooled", "read with their document")):
        means = [
            {"corpus": where[0], "concept": where[1]}
            | {method: over_seeds(rows, where, method, f"ap_{kind}") for method in methods_of(rows)}
            for where in concepts_of(rows)
        ]
        lines += ["", f"Mean AP over seeds of passages {words}:", "", *table(list(means[0]), means)]
        spreads = [
            {"corpus": where[0], "concept": where[1]}
            | {method: _with_spread(rows, where, method, f"ap_{kind}") for method in SPREAD}
            for where in concepts_of(rows)
        ]
        lines += ["", f"With the standard deviation over seeds, passages {words}:", ""]
        lines += table(list(spreads[0]), spreads)
    return lines


def _with_spread(rows: Sequence[Mapping[str, Any]], where: tuple[str, str], method: str, column: str) -> str:
    mean, spread = (found(rows, where, method, column) for found in (over_seeds, spread_over_seeds))
    return cell(mean) if spread is None else f"{cell(mean)} ± {cell(spread)}"


def generation_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table for every corpus and concept, its generators in the order of the rows, and what the judges are worth."""
    lines = [
        "Continuations of neutral openings of unseen documents, judged by classifiers that were trained on gold labels there. "
        "Inside: the mean of the cluster scores A and B is at least half-way from what real others score (0) to what real "
        "members do (1). Nats per token: KL from the base model, on what was written; of a selection a bound. To filter: "
        "energy distance to `basin-filter`, exact samples of the target.",
    ]
    for corpus, concept in dict.fromkeys((row["corpus"], row["concept"]) for row in rows):
        mine = [row for row in rows if (row["corpus"], row["concept"]) == (corpus, concept)]
        first, name = mine[0], task_name(corpus, concept)
        lines += ["", f"### {corpus}: {concept}", "", _judges(first), ""]
        # A page of one generator alone has that one's passages; what no judge can tell has no picture.
        alone = f"{name}_{first['generator']}"
        page = alone if len(mine) == 1 and (OUTPUT.parent / "samples" / f"{alone}.md").exists() else name
        if page == name and can_be_drawn(mine):
            lines += [f"![Frontier](frontier_{name}.png)", ""]
        lines += [f"[What they wrote](samples/{page}.md), unpicked.", ""]
        lines += table([column for column in GENERATION if any(column in row for row in mine)], mine)
    return lines


def _judges(row: Mapping[str, Any]) -> str:
    aucs = ", ".join(f"{which.upper()} {cell(row.get(f'auc_{which}'))}" for which in "abc")
    members, others = (cell(row.get(f"inside_of_real_{which}")) for which in ("members", "others"))
    return (
        f"On {row.get('words_judged')} words of real passages of unseen documents the judges' AUC is {aucs}; "
        f"real members pass as inside {members}, others {others}."
    )


def rounds_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table for every run: what its rounds wrote, and how they trained what the next one writes with."""
    lines = [
        "Round 0 is the base model. A round's first columns are of what the concept of the round before wrote, by an adapter "
        "or steered; the others are of the adapter that it trained from that.",
    ]
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = [row for row in rows if row["run"] == run]
        lines += ["", f"### {run}", "", *table([*ROUNDS, *TRAINING], mine)]
    return lines


def basin_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of the maps side by side, and their pictures."""
    lines = [
        "Starting pointers followed for some rounds, trust in the pointer gone after the first few. Better starts have a "
        "precision of 0.5 or more at the concept's true size; the same fixed point is the one that most of them reach (soft "
        "Jaccard at least 0.9). AP is of documents; the ceiling is the round's own classifiers, taught the gold labels, on "
        "documents that they did not see. A certificate is right where the final AP is not 0.02 below the ceiling; pointing "
        "starts are more precise than 99 of 100 random ones. Minutes are of one sweep from warm caches.",
    ]
    for title, columns in BASIN.items():
        lines += ["", f"{title}:", "", *table(["method", *columns], rows)]
    for row in rows:
        if not (OUTPUT.parent / "basin" / str(row["method"]) / "basin.png").exists():
            continue
        lines += [
            "",
            f"### {row['method']}: {row['corpus']}, {row['concept']}, size {cell(row['size'])}",
            "",
            f"![Map](basin/{row['method']}/basin.png)",
        ]
    return lines


BASIN = {
    "Where starts flow": (
        *(
            "size",
            "base_rate",
            "starts",
            "settled",
            "fixed_points",
            "better_starts",
            "same_fixed_point_share",
        ),
        *("same_when_held", "noise_80_arrives"),
    ),
    "How good it is there": (
        *("topic_ap", "fixed_point_ap", "ceiling_ap", "best_round_of_any_start"),
        *("quality_threshold", "threshold_low", "threshold_high"),
    ),
    "The certificate": (
        *("certified", "certificate_precision", "certificate_recall"),
        *("certificate_precision_pointing", "certificate_recall_pointing"),
    ),
    "Speed": ("minutes_1_workers", "minutes_2_workers", "starts_per_minute_1", "starts_per_minute_2"),
}
"""Tables of a basin map and their columns."""


def stitch_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table for every pair of models and concept: what each vector does in the second one."""
    lines = [
        "Ratios are of the effect of the vector that was found in the model itself; by the reading of the model that did not "
        "write, and by two judges trained on gold labels together. `returned cosine` is after the way there and back.",
    ]
    for key in dict.fromkeys((row["run"], row["from"], row["to"], row["concept"]) for row in rows):
        run, first, second, concept = key
        own = [row for row in rows if (row["run"], row["from"], row["to"], row["concept"]) == key]
        native = next(row for row in own if row["model"] == first and row["vector"] == "native")
        lines += [
            "",
            f"### {run} ({concept or 'no labels'}): {first} to {second}",
            "",
            f"In {first} itself its vector has an effect of {native['effect']:.2f} ± {native['effect_error']:.2f}, as {second} "
            f"reads it. Soft Jaccard of the concept with what {second} makes of its memberships without a map "
            f"{cell(native['soft_jaccard_intersection'])}; of the match with the concept refined there "
            f"{cell(native['soft_jaccard_with_native'])}.",
            "",
            *table(STITCH, [row for row in own if row["model"] == second]),
        ]
    return lines


def torture_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of what was survived, all of it first, then kills by stage, faults, the soak and what keeping costs."""

    def of(what: str, *but: str) -> list[Mapping[str, Any]]:
        hidden = {"tool", "what", *but}
        return [{key: row[key] for key in row if key not in hidden} for row in rows if row["what"] == what]

    parts = {
        "Work lost: seconds between the last unit that was kept, or the end of the imports, and the kill; tiny models.": of(
            "all"
        ),
        "Kills by what was under way.": of("kill"),
        "Faults.": of("fault"),
        "A soak: values after warming up and after the last round, and slopes of straight lines per 100 rounds.": of(
            "soak"
        ),
        "What keeping costs, as a share of a round.": of("overhead"),
    }
    return [line for title, table_rows in parts.items() if table_rows for line in _titled(title, table_rows)]


def interop_tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a row for every export and the program that opened it, or import and where it came from."""
    shown = ("tool", "consumer", "version", "loaded", "effect", "value", "base")
    return [
        "Exports of one run, opened by the programs that they are for, and pointers and vectors that come from those. A change "
        "of logits is what the concept makes of the next token's scores after real texts; its cosine with the change that "
        "Basin makes is 1 where the two do the same. Rows of a consumer are of its own call; the command above is the last.",
        "",
        *table(shown, [{"tool": row["tool"], **row} for row in rows]),
    ]


def _titled(title: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence and its table; one row of many numbers is set upright."""
    if len(rows) == 1:
        rows = [{"measure": key.replace("_", " "), "value": value} for key, value in rows[0].items()]
    return [title, "", *table(list(rows[0]), rows), ""]


SUMMARIES = {
    "torture": torture_tables,
    "interop": interop_tables,
    "basin": basin_tables,
    "stitch": stitch_tables,
    "membership": membership_tables,
    "generation": generation_tables,
    "generation_rounds": rounds_tables,
}
"""By a file's name, or the first part of it."""


def cell(value: Any) -> str:
    """A value as a table shows it: three digits after the point; large numbers three or more in all."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if abs(value) < 10:
            return f"{value:.{DIGITS}f}"
        return f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _libraries(header: Mapping[str, Any]) -> str:
    return ", ".join(f"{library} {number}" for library, number in header["versions"].items())


def main() -> None:
    """Write RESULTS.md; with `--check`, only say whether it is up to date (status 1 when it is not)."""
    text = render()
    if "--check" in sys.argv[1:]:
        current = OUTPUT.read_text(encoding="utf-8") if OUTPUT.exists() else ""
        if current != text:
            raise SystemExit("benchmarks/RESULTS.md is not what python -m benchmarks.render writes; run it.")
        return
    OUTPUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
