"""Kills: runs that are killed several times in their lives, resumed, and compared byte for byte with undisturbed ones."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.torture.lives import Ended, Moment, Sight

KEEP_EVERY = 0.2
"""Seconds between the states that a trainer keeps, instead of a minute: the tiny adapters train for two seconds."""
MOST_KILLS = 10
"""In one run; then it is let go to its end."""
INSIDE = ("generation", "recording", "re-clustering", "training")
"""Phases that are aimed at three times as often as others: what a round consists of."""
LIVES = 40
"""After so many the run counts as one that does not get anywhere."""

Live = Callable[..., Ended]


@dataclass
class Undisturbed:
    """What a run makes when nobody disturbs it, and how long that takes."""

    files: dict[str, bytes]
    seconds: float
    phases: dict[str, list[float]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all files: forked and fresh processes must agree."""
        whole = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            whole.update(name.encode() + hashlib.sha256(content).digest())
        return whole.hexdigest()[:16]


@dataclass(frozen=True)
class Aim:
    """When a life is killed."""

    kind: str
    """random, phase, or call."""
    moment: Moment | None = None
    die: dict[str, Any] | None = None


def undisturbed(live: Live, folder: Path, method: str) -> Undisturbed:
    """One run in a cache of its own, from its beginning to its end."""
    trace = folder / f"trace-{method}"
    trace.unlink(missing_ok=True)
    name = f"{method}-undisturbed"
    forget(folder, name)
    ended = live(
        ["run", str(folder / f"{method}.yaml"), "--name", name],
        {**places(folder, name), "BASIN_TORTURE_TRACE": str(trace)},
        {"keep_every": KEEP_EVERY, "brief": True},
    )
    if ended.status:
        raise RuntimeError(f"the undisturbed run failed: {ended.said[-2000:]}")
    phases: dict[str, list[float]] = {}
    for line in trace.read_text().splitlines():
        phase, _, seconds = json.loads(line)
        phases.setdefault(phase, []).append(seconds)
    return Undisturbed(contents(folder / "runs" / name), ended.seconds, phases)


def tortured(
    live: Live, folder: Path, name: str, method: str, expected: Undisturbed, dice: random.Random, brief: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One run that is killed until it has had enough: a row a kill, and a row for the run.

    Args:
        brief: leave out the report that follows the last round; it takes as long as a round of these.
    """
    forget(folder, name)
    run, kills, lives = folder / "runs" / name, [], 0
    said = ""
    while lives < LIVES:
        lives += 1
        begun = (run / "run.json").exists()
        command = ["resume", name] if begun else ["run", str(folder / f"{method}.yaml"), "--name", name]
        aim = _aim(expected, dice) if len(kills) < MOST_KILLS else Aim("none")
        plan = {"keep_every": KEEP_EVERY, "brief": brief, **({"die": aim.die} if aim.die else {})}
        ended = live(command, places(folder, name), plan, aim.moment)
        said += ended.said
        if ended.status != -9:
            break
        kills.append(
            {
                "run": name,
                "method": method,
                "aim": aim.kind,
                "phase": ended.phase,
                "seconds": round(ended.seconds, 3),
                "lost": round(ended.lost, 3),
            }
        )
    different = differences(expected.files, contents(run))
    left = leftovers(run, folder / "caches" / name)
    whole = ended.status == 0 and not different and not left
    row = {"run": name, "method": method, "lives": lives, "status": ended.status, "identical": whole}
    if whole:
        forget(folder, name)
    else:
        row |= {"different": different[:8], "left": left[:8], "said": said[-3000:]}
    return kills, row


def places(folder: Path, name: str) -> dict[str, str]:
    """A checkpoints folder that runs share, and a cache of the run's own, so that it reads its corpus itself."""
    return {"BASIN_CHECKPOINTS": str(folder / "runs"), "BASIN_CACHE": str(folder / "caches" / name)}


def contents(run: Path) -> dict[str, bytes]:
    """Every file that must be the same: all of every round but what tells how long it took, and the certificate."""
    files = {}
    for file in [*sorted(run.glob("round_*/**/*")), run / "certificate.json"]:
        if file.is_file() and file.name != "cost.json":
            files[str(file.relative_to(run))] = _timeless(file)
    return files


def _timeless(file: Path) -> bytes:
    content = file.read_bytes()
    if file.name != "manifest.json":
        return content
    tree = json.loads(content)
    tree["files"].pop("cost.json")
    for name in ("sha256", "follows"):  # digests of manifests with what was just left out
        tree.pop(name, None)
    return json.dumps(tree, sort_keys=True).encode()


def differences(expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    """Names of files that are missing, too many or different."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def leftovers(run: Path, cache: Path) -> list[str]:
    """What a killed process began and nobody took away."""
    found = [*run.glob(".*"), *cache.glob("**/.unfinished-*"), *run.glob("damaged_*")]
    return sorted(each.name for each in found)


def _aim(expected: Undisturbed, dice: random.Random) -> Aim:
    """As often at random moments of a run's time as inside a phase, and now and then beside a rename or a sync."""
    kind = dice.choices(("random", "phase", "call"), (4, 4, 2))[0]
    if kind == "random":
        return Aim(kind, moment=partial(_after, dice.uniform(0.0, 0.6 * expected.seconds)))
    if kind == "phase":
        phases = [each for each in (*expected.phases, *INSIDE, *INSIDE) if each in expected.phases]
        phase = dice.choice(phases)
        number = dice.randint(1, len(expected.phases[phase]))
        delay = dice.random() * expected.phases[phase][number - 1]
        return Aim(kind, moment=Inside(phase, dice.randint(1, number), delay))
    number, after = dice.randint(1, 16), dice.random() < 0.5
    return Aim(kind, die={"call": dice.choice(("rename", "fsync")), "number": number, "after": after})


def _after(seconds: float, life: Sight) -> bool:
    return life.passed >= seconds


def at(call: str, number: int, after: bool = False, match: str = "") -> Aim:
    """A kill at an exact place, see `hook._Place`."""
    return Aim("call", die={"call": call, "number": number, "after": after, "match": match})


class Inside:
    """A moment some time after a phase was entered for the so-manieth time, if it lasts that long."""

    def __init__(self, phase: str, number: int, delay: float = 0.0) -> None:
        self.phase, self.number, self.delay = phase, number, delay
        self.since: float | None = None

    def __call__(self, life: Sight) -> bool:
        if life.phase != self.phase or life.entered < self.number:
            self.since = None
            return False
        if self.since is None:
            self.since = life.passed
        return life.passed - self.since >= self.delay


def forget(folder: Path, name: str) -> None:
    for place in (folder / "runs" / name, folder / "caches" / name):
        shutil.rmtree(place, ignore_errors=True)
