"""Basin from Python: start, open or resume a run, and read its rounds, concept, samples and page.

    from loops import Run

    run = Run.start("brown")                       # or Run.open("brown"), Run.resume("brown")
    run.concept.predict_proba(texts)[:, 1]
    run.generate(8)
    run.rounds
    run.report()

A `Run` holds only the run's folder, so every access reads the newest state, also while another
process writes. A user's mistake raises `BasinError`: one sentence with the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import BasinError, quoted
from loops.api.views import Member, Rounds, Shown, WrittenPassage

if TYPE_CHECKING:
    from loops.api.classifier import ConceptClassifier
    from loops.checkpoint.store import RunStore
    from loops.config import RunConfig
    from loops.report.make import Made


class Run:
    """One run of the loop, by its folder.

    `Run.start`, `Run.open` and `Run.resume` make one.
    """

    def __init__(self, store: RunStore) -> None:
        """For `Run.start`, `Run.open` and `Run.resume`."""
        self._store = store
        self._concepts: dict[int, ConceptClassifier] = {}

    @classmethod
    def start(
        cls,
        config: str | Path | Mapping[str, Any] | RunConfig,
        *,
        name: str | None = None,
        rounds: int | None = None,
        settings: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> Run:
        """Point at a topic and refine it until the concept is stable; takes minutes or more.

        Args:
            config: a YAML file, the name of a config that comes with Basin, or nested settings.
            name: of the new run; by default the config's, numbered when it is taken.
            rounds: maximum number.
            settings: changes to the config, nested or by dotted name: `{"topics.count": 20}`.
            quiet: print nothing; the run's log stays complete.

        Raises:
            BasinError: a wrong setting, an unreadable corpus or model, or a name that is taken.
        """
        from agent.config import check_number
        from loops.api.session import overrides_of
        from loops.checkpoint.find import fresh_path, named_path
        from loops.checkpoint.store import RunStore
        from loops.config import RunConfig, load_config, parse_config, with_overrides

        overrides, file = overrides_of({} if settings is None else settings), None
        if rounds is not None:
            check_number("rounds", rounds, least=1, whole=True)
            overrides.append(f"rounds={rounds}")
        if isinstance(config, RunConfig):
            resolved = with_overrides(config, overrides)
        elif isinstance(config, Mapping):
            resolved = with_overrides(parse_config(dict(config), "settings"), overrides)
        else:
            from agent.config import find_config

            file = find_config(config)
            resolved = load_config(file, overrides)
        path = named_path(name) if name is not None else fresh_path(file.stem if file else "run")
        store = RunStore.create(path, resolved, file, overrides)
        _work(store, f"Run {store.name} in {store.path}", quiet)
        return cls(store)

    @classmethod
    def open(cls, run: str | Path) -> Run:
        """Open a run by its name in the checkpoints folder, or by its path.

        Raises:
            BasinError: the run is missing or damaged, or a newer Basin wrote it.
        """
        from loops.checkpoint.find import open_run

        return cls(open_run(str(run)))

    @classmethod
    def resume(
        cls,
        run: str | Path | Run,
        rounds: int | None = None,
        *,
        quiet: bool = False,
        accept_model: bool = False,
    ) -> Run:
        """Continue from the last complete round, with the settings that the run began with.

        Args:
            run: its name, its path, or a `Run`.
            rounds: total number, run even if the concept is stable before; by default as configured.
            quiet: print nothing.
            accept_model: go on with another model than that of the rounds, and keep that with the run.

        Raises:
            BasinError: as `Run.open`, another model than the run's, or another process writes to the run.
        """
        from agent.config import check_number
        from loops.checkpoint.store import RunStore

        if rounds is not None:
            check_number("rounds", rounds, least=1, whole=True)
        path = run.path if isinstance(run, Run) else cls.open(run).path
        store = RunStore.open(path)
        _work(store, f"Run {store.name} goes on", quiet, rounds, accept_model)
        return cls(store)

    @staticmethod
    def names() -> list[str]:
        """Names of the runs in the checkpoints folder, `BASIN_CHECKPOINTS` or `checkpoints`."""
        from loops.checkpoint.find import list_runs

        return list_runs()

    @property
    def name(self) -> str:
        """Name of the run and of its folder."""
        return self._store.name

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._store.path

    @property
    def config(self) -> RunConfig:
        """Frozen settings that the run began with."""
        return self._store.config

    @property
    def rounds(self) -> Rounds:
        """All rounds; round 0 is the topic, `run.rounds[-1]` the newest."""
        return Rounds(self._store)

    @property
    def topic_words(self) -> list[str]:
        """Words of the topic that the run began from, the most probable first."""
        pointer = self._store.load_pointer()
        return pointer.model.top_words(pointer.topic)

    @property
    def certificate(self) -> str | None:
        """Verdict on the newest round without labels, in one sentence; None before the run has ended."""
        found = self._store.load_certificate()
        return None if found is None else str(found["sentence"])

    @property
    def concept(self) -> ConceptClassifier:
        """The newest round's concept as a fitted scikit-learn classifier of any texts.

        The first scored text loads the language model.
        """
        return self.concept_of(None)

    def concept_of(self, round: int | None) -> ConceptClassifier:
        """Return a round's concept; None is the newest. Raises `BasinError` for a missing round."""
        from loops.api.classifier import ConceptClassifier

        number = self._number(round)
        if number not in self._concepts:
            self._concepts[number] = ConceptClassifier(self.path, round=number)
        return self._concepts[number]

    def members(self, limit: int | None = None, *, round: int | None = None) -> Shown[Member]:
        """Return the run's passages inside a round's concept, the most typical first, at most `limit`.

        Raises `BasinError` for a missing round, or a limit that is no whole number from 0 on.
        """
        from agent.config import check_number

        if limit is not None:
            check_number("limit", limit, least=0, whole=True)
        concept = self._store.load(self._number(round)).concept
        passages = self._store.load_passages()
        found = []
        for index in concept.members()[:limit].tolist():
            passage = passages.passages[index]
            document = passages.documents[passage.document]
            membership = float(concept.membership[index])
            found.append(Member(membership, passage.text, document.title or document.id, document.author))
        return Shown(found)

    def _number(self, round: int | None) -> int:
        from agent.config import check_number

        rounds = self._store.rounds()
        if round is not None:
            check_number("round", round, whole=True)
        if round is None and not rounds:
            raise BasinError(f"{self.name} has no whole round yet; Run.resume({self.name!r}) continues it.")
        number = rounds[-1] if round is None else round
        if number not in rounds:
            raise BasinError(
                f"{self.name} has no round {quoted(round)}; it has {', '.join(map(str, rounds))}."
            )
        return number

    def generate(
        self,
        count: int = 3,
        *,
        words: int | None = None,
        prompt: str | None = None,
        round: int | None = None,
        seed: int = 0,
        strength: float = 1.0,
        particles: int = 1,
        accept_model: bool = False,
        settings: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> Shown[WrittenPassage]:
        """Generate passages from a round's concept, as strings of prompt and continuation.

        Args:
            count: number of passages.
            words: about so many each, ended with a sentence; by default `generation.new_tokens`.
            prompt: by default the openings of real passages.
            round: by default the newest.
            seed: equal seeds give equal passages.
            strength: times the round's steering vector; 0 writes without it.
            particles: per passage; above 1, passages are sampled to the log-odds of real members.
            accept_model: as for `Run.resume`.
            settings: of generation, as for `Run.start`: `{"generation.temperature": 0.7}`.
            quiet: show no progress.

        Raises:
            BasinError: no such round, a round that cannot generate, or no language model.
        """
        from loops.api.generate import write
        from loops.api.session import overrides_of

        how: dict[str, Any] = {"words": words, "prompt": prompt, "seed": seed, "accept_model": accept_model}
        how["overrides"] = overrides_of(settings or {})
        with _progress(quiet):
            pairs = [*write(self._store, round, count, strength=strength, particles=particles, **how)]
        return Shown(WrittenPassage(opening, text) for opening, text in pairs)

    def report(self, out: str | Path | None = None, *, quiet: bool = False) -> Made:
        """Write the run as one HTML file; `.open()` of the result shows it in a browser.

        Args:
            out: by default `report.html` in the run's folder.
            quiet: show no progress.

        Raises:
            BasinError: there is no round to show, or the file cannot be written.
        """
        from loops.report.make import make_report

        with _progress(quiet):
            return make_report(self._store, Path(out) if out is not None else None)

    def measure(self, *, quiet: bool = False) -> list[dict[str, Any]]:
        """Compare rounds with gold labels, one row each; empty without labels. The run never reads them."""
        from loops.evaluation.measure import measure

        with _progress(quiet):
            return [dict(row) for row in measure(self._store)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path.resolve() == other.path.resolve()

    def __hash__(self) -> int:
        return hash(self.path.resolve())

    def __repr__(self) -> str:
        rounds = self._store.rounds()
        done = f"{rounds[-1]} rounds after the topic" if rounds else "no whole round yet"
        return f"<Run {self.name}: {done}; {self.path}>"


def _progress(quiet: bool) -> Any:
    from rich.console import Console

    from loops.monitor.progress import show_progress

    return show_progress(Console(quiet=quiet))


def _work(
    store: RunStore, message: str, quiet: bool, until: int | None = None, accept_model: bool = False
) -> None:
    from rich.console import Console

    from loops.api.session import rounds_kept, work_on

    console = Console(quiet=quiet)
    try:
        work_on(store, message, console, until, accept_model)
    except KeyboardInterrupt:
        console.print(f"\nStopped. {rounds_kept(store)}; Run.resume({store.name!r}) continues.", markup=False)
        raise
