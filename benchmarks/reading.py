"""Blind reading of generated and real passages: `python -m benchmarks.reading make|sheet|score`.

`make` draws passages of generators and of held-out documents, all of one length, and writes sheet.md for a
reader and key.json. `score` copies a reader's answers into the key and writes results/reading.json. The key
holds real text by document and offset only; `sheet` restores it.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from sklearn.metrics import cohen_kappa_score

from agent.corpora.load import CorpusConfig, load_corpus
from agent.errors import BasinError
from benchmarks.generation import measures
from benchmarks.passages import excerpt, generated, read_real, real_places
from benchmarks.render import table
from benchmarks.results import RESULTS, commit, with_earlier, write_results

ANSWERS = {"member": ("y", "half", "n"), "thread": ("y", "n"), "readable": ("y", "n")}
WORTH = {"y": 1.0, "half": 0.5, "n": 0.0}
MEMBERS, OTHERS = "real members", "real others"
HEAD = """# Reading sheet: {concept}

Write after each colon, and change nothing else.

- `member`: y, half or n. Is it from a text of this kind: {concept}?
- `thread`: y or n. Do its sentences follow from one another, about the same persons or things?
- `readable`: y or n. Is it grammatical, without nonsense or repetition?
"""
app = typer.Typer(add_completion=False)
Row = dict[str, Any]


def write_sheet(key: Row, texts: Mapping[str, str], file: Path, reader: str | None = None) -> None:
    """Write a key's passages, with one reader's answers or with none."""
    if file.exists():
        raise BasinError(f"{file} exists and may hold answers; move it away or choose another --out.")
    lines, answers = [HEAD.format(concept=key["concept"])], key.get("answers", {}).get(reader, {})
    for number, row in key["passages"].items():
        text = row.get("text") or excerpt(texts[row["document"]], row["offset"], key["words"]) or ""
        block = textwrap.indent(textwrap.fill(text, 98, break_on_hyphens=False), "> ")
        given = answers.get(number, dict.fromkeys(ANSWERS, ""))
        lines += [f"## {number}", "", block, "", *(f"{each}: {given[each]}" for each in ANSWERS), ""]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines), encoding="utf-8")


@app.command()
def make(
    *,
    corpus: Annotated[str, typer.Option(help="Of the real passages.")],
    concept: Annotated[str, typer.Option(help="One with gold labels.")],
    passages: Annotated[list[str], typer.Option(metavar="NAME=FILE", help="Prompts and texts as JSON.")],
    out: Annotated[Path, typer.Option(help="Folder; the sheet has its name.")],
    held_out: Annotated[Path | None, typer.Option(help="A file of document ids.")] = None,
    number: Annotated[int, typer.Option(min=1, help="Passages a generator.")] = 32,
    reals: Annotated[int, typer.Option("--real", min=1, help="Real passages a kind.")] = 12,
    words: Annotated[int, typer.Option(min=5, help="Of every passage.")] = 150,
    seed: int = 0,
    measure: Annotated[bool, typer.Option(help="Add judges, copying, diversity.")] = False,
) -> None:
    """Write a sheet and its key; the seed also chooses the held-out third."""
    rng, (real, key) = np.random.default_rng(seed), read_real(corpus, concept, held_out, seed)
    texts = key.pop("texts")
    of = {kind: set(real.document_of[real.gold == (kind == MEMBERS)].tolist()) for kind in (MEMBERS, OTHERS)}
    hidden = {kind: {n: t for at, (n, t) in enumerate(texts.items()) if at in of[kind]} for kind in of}
    joined = "\n".join(" ".join(text.split()) for each in hidden.values() for text in each.values())
    files = dict(each.split("=", 1) for each in passages)
    pools = {name: generated(name, Path(file), joined, words) for name, file in files.items()}
    pools |= {kind: real_places(kind, each, words, reals, rng) for kind, each in hidden.items()}
    drawn: list[Row] = []
    for name, pool in pools.items():
        wanted = number if name in files else reals
        if len(pool) < wanted:
            raise BasinError(f"{name}: {len(pool)} passages have {words} words, not {wanted}; ask for less.")
        drawn += [pool[at] for at in rng.permutation(len(pool))[:wanted]]
    ours = {name: [row["text"] for row in drawn if row["generator"] == name] for name in files}
    key |= {"sheet": out.name, "words": words, "seed": seed}
    key["measures"] = measures(ours, real, [*texts.values()], words) if measure else {}
    key["passages"] = {f"{n}": drawn[at] for n, at in enumerate(rng.permutation(len(drawn)), 1)}
    write_sheet(key, texts, out / "sheet.md")
    (out / "key.json").write_text(json.dumps(key, indent=1, ensure_ascii=False), encoding="utf-8")


@app.command()
def sheet(key_file: Path, corpus: str, out: Path = Path("sheet.md"), reader: str | None = None) -> None:
    """Write a sheet again from its key and corpus, for a new reader or with the answers of one."""
    texts = {each.id: each.text for each in load_corpus(CorpusConfig(source=corpus))}
    write_sheet(json.loads(key_file.read_bytes()), texts, out, reader)


def read_answers(text: str, numbers: Sequence[str]) -> dict[str, Row]:
    """Answers by passage. Raises `BasinError` for one that is missing or invalid."""
    pieces = re.split(r"^## (\d+)\s*$", text, flags=re.MULTILINE)
    of, found = dict(zip(pieces[1::2], pieces[2::2], strict=True)), {}
    for number in numbers:
        lines = re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", of.get(number, ""), re.MULTILINE)
        given = found[number] = {field: answer.lower() for field, answer in lines if field in ANSWERS}
        for field, allowed in ANSWERS.items():
            if given.get(field) not in allowed:
                said = given.get(field) or "nothing"
                raise BasinError(f"Passage {number}, {field}, says {said}; write {' or '.join(allowed)}.")
    return found


def wilson(share: float, count: int, z: float = 1.96) -> str:
    """A share with its 95 % interval (Wilson 1927)."""
    middle, width = share + z**2 / 2 / count, z * np.sqrt(share * (1 - share) / count + (z / count) ** 2 / 4)
    low, high = ((middle + side * width) / (1 + z**2 / count) for side in (-1, 1))
    return f"{share:.2f} [{low:.2f}, {high:.2f}]"


def agreement(key: Row, reader: str) -> Row:
    """Cohen's kappa with every other reader, of yes and half against no, by question."""
    own = key["answers"][reader]
    return {
        other: {
            field: round(
                cohen_kappa_score(*([each[n][field] != "n" for n in own] for each in (own, theirs))), 2
            )
            for field in ANSWERS
        }
        for other, theirs in key["answers"].items()
        if other != reader
    }


def score_rows(key: Row, reader: str, about: Mapping[str, Row]) -> list[Row]:
    """A row a generator and kind of real passage; `about` has measures by generator."""
    by: dict[str, list[Row]] = {}
    for number, entry in key["passages"].items():
        by.setdefault(entry["generator"], []).append(key["answers"][reader][number])
    rng, rows = np.random.default_rng(0), []
    worth = {name: np.array([WORTH[row["member"]] for row in by[name]]) for name in sorted(by)}
    # 2,000 means of resampled passages, and then the mean itself.
    drawn = {name: rng.choice(each, (2000, len(each))) for name, each in worth.items()}
    means = {name: np.append(drawn[name].mean(1), each.mean()) for name, each in worth.items()}
    gap = means[MEMBERS] - means[OTHERS]
    for name, each in worth.items():
        scores = (means[name] - means[OTHERS])[gap > 0] / gap[gap > 0] if gap[-1] > 0 else None
        row: Row = {"corpus": key["corpus"], "concept": key["concept"], "generator": name}
        row |= {"model": None, "tokens_taught": None, "passages": len(each)}
        row |= {"yes": int((each == 1).sum()), "half": int((each == 0.5).sum()), "share": float(each.mean())}
        row["reader_cluster_score"] = None if scores is None else float(scores[-1])
        row["error"] = None if scores is None else float(scores[:-1].std())
        row |= {f"{f}_share": sum(e[f] == "y" for e in by[name]) / len(each) for f in ("thread", "readable")}
        row |= dict.fromkeys(("vendi_ratio", "copied_8gram_share", "cluster_score_a", "cluster_score_b"))
        known = {field: value for field, value in about.get(name, {}).items() if row.get(field, "") is None}
        rows.append(row | known | {"sheet": key["sheet"], "reader": reader, "commit": commit()})
    return rows


@app.command()
def score(
    filled: Path,
    key_file: Path,
    reader: Annotated[str, typer.Option(help="Who filled it; a sheet may have several readers.")],
    about: Path | None = None,
    place: Path = RESULTS,
) -> None:
    """Score a filled sheet, keep its answers in the key, and compare them with other readers'.

    `--about` names JSON rows that hold, by `generator`: model, tokens_taught and measures.
    """
    key = json.loads(key_file.read_bytes())
    answers = read_answers(filled.read_text("utf-8"), [*key["passages"]])
    key["answers"] = key.get("answers", {}) | {reader: answers}
    known = {name: dict(found) for name, found in key["measures"].items()}
    for row in json.loads(about.read_bytes()) if about else ():
        known.setdefault(row["generator"], {}).update(row)
    rows = score_rows(key, reader, known)
    shown = ("share", "thread_share", "readable_share")
    columns = ("generator", "passages", "yes", "half", *shown, "reader_cluster_score", "error")
    printed = [row | {name: wilson(row[name], row["passages"]) for name in shown} for row in rows]
    print("\n".join(table(columns, printed)))
    for other, kappas in agreement(key, reader).items():
        print(
            f"Cohen's kappa with {other}: " + ", ".join(f"{field} {each}" for field, each in kappas.items())
        )
    rows = with_earlier(rows, lambda row: (row["sheet"], row["reader"]), place / "reading.json")
    write_results("reading", rows, ["python", "-m", "benchmarks.reading", *sys.argv[1:]], place)
    key_file.write_text(json.dumps(key, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    try:
        app()
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
