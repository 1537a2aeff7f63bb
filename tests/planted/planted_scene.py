"""Stored runs for the report page: planted words, activations and rounds that converge, made without a model."""

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from agent.concept import Concept, Readout
from agent.membership.log_odds import sigmoid
from agent.membership.similarity import soft_jaccard
from agent.pointer.topic_model import Pointer, TopicModel
from agent.steering.vector import SteeringVector
from agent.types import Document, Passage, PassageSet
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.records import Generated, RoundRecord
from loops.report.run_page.plane import PlacedPlane, fit_plane
from loops.report.run_page.stored import save_plane

LAYERS, WIDTH = 2, 16
TOPIC = (
    *("detective", "police", "murder", "crime", "clue", "evidence"),
    *("suspect", "inspector", "lieutenant", "victim", "killer", "alibi"),
)
FALSE_FRIENDS = ("car", "street", "night", "dollars", "door", "gun")
"""Words that the topic holds and the concept does not."""
UNSAID = ("widow", "library", "motive", "inquest", "footprint", "butler")
"""Words of members that the topic does not hold."""
TAILS = ("der", "lin", "mor", "ten", "vas", "nog")
PLAIN = tuple(head + vowel + tail for head in "bdfgklmnpr" for vowel in "ao" for tail in TAILS[:3])
HOSTILE = (
    "</script><script>document.title='owned'</script><!-- <img src=x onerror=\"document.title='owned'\"> "
    "\u2028\u2029 \"'`&lt;b&gt; <b>bold</b> <a href='https://example.org/x'>link</a> %{x} ${x} \x1b[31mred\x1b[0m "
    "\u202egnp.exe\u202c \x00 =1+1"
)


@dataclass(frozen=True)
class Scene:
    """How large a planted run is, and whether its texts mean harm."""

    rounds: int
    """Besides round 0."""
    passages: int = 240
    words: int = 60
    written: int = 12
    hostile: bool = False
    placed: bool = True
    """Whether the plane of the real passages is stored, as a run does with its page."""


def plant(folder: Path, scene: Scene) -> RunStore:
    """A stored run of that scene; its folder must not exist."""
    generator = np.random.default_rng(0)
    truth, lure = (generator.random(scene.passages // 6 + 1) < share for share in (0.3, 0.3))
    document_of = np.arange(scene.passages) // 6
    inside, lured = truth[document_of], lure[document_of]
    passages = _passages(scene, inside, lured, generator)
    activations = _activations(inside.astype(float), generator)
    pointer = _pointer()
    store = RunStore.create(folder, _config(scene))
    claim = -2.5 + 2.5 * inside + 2.2 * lured + generator.normal(0, 0.8, scene.passages)
    records = [_first(claim, scene, generator)]
    store.save(records[0], passages, pointer)
    ids = [passage.id for passage in passages.passages]
    for number in range(1, scene.rounds + 1):
        records.append(_round(number, records, activations, ids, scene, generator))
        store.save(records[-1])
    if scene.placed:
        readout = records[-1].concept.readout
        plane = fit_plane(activations, readout)
        number = None if readout is None else scene.rounds
        save_plane(store.path, PlacedPlane(number, plane, plane.place(activations)))
    return store


def _config(scene: Scene):
    source = HOSTILE.replace("\x00", "") if scene.hostile else "planted texts"
    return parse_config({"corpus": {"source": source}, "rounds": max(1, scene.rounds)}, "planted")


def _passages(
    scene: Scene, inside: np.ndarray, lured: np.ndarray, generator: np.random.Generator
) -> PassageSet:
    danger = f" {HOSTILE}" if scene.hostile else ""
    half = "\ud800" if scene.hostile else ""  # half a character, which no file can hold as it is
    documents = []
    for at in range(-(-scene.passages // 6)):
        title = f"The {PLAIN[at % len(PLAIN)].title()} Affair, {at}{danger}{half}"
        documents.append(Document(f"d{at}", "", title, f"A. {PLAIN[-at % len(PLAIN)].title()}{danger}"))
    texts = [_text(*kind, scene.words, generator) + danger for kind in zip(inside, lured, strict=True)]
    made = (Passage(f"p{at:05d}", at // 6, at % 6, f"{text} [{at}]") for at, text in enumerate(texts))
    return PassageSet(tuple(documents), tuple(made), {})


def _text(inside: bool, lured: bool, words: int, generator: np.random.Generator) -> str:
    shares = np.array([0.08 if inside else 0.005, 0.1 if lured else 0.01, 0.1 if inside else 0.005])
    kinds = generator.choice(4, words, p=[*shares, 1 - shares.sum()])
    pools = (TOPIC, FALSE_FRIENDS, UNSAID, PLAIN)
    chosen = [pools[kind][generator.integers(len(pools[kind]))] for kind in kinds]
    sentences = (" ".join(chosen[at : at + 12]).capitalize() + "." for at in range(0, words, 12))
    return " ".join(sentences)


def _activations(inside: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    made = generator.normal(size=(len(inside), LAYERS, WIDTH))
    made[:, :, 0] += 2.5 * inside[:, None]
    made[:, :, 1] += 3 * generator.normal(size=len(inside))[:, None]
    made[:, 0, 5] *= 80  # one coordinate is far longer than the others, as in real models
    return made.astype(np.float32)


def _pointer() -> Pointer:
    words = (*TOPIC, *FALSE_FRIENDS, *UNSAID, *PLAIN)
    counts = np.full((3, len(words)), 0.05)
    counts[0, : len(TOPIC)] = np.linspace(90, 30, len(TOPIC))
    counts[0, len(TOPIC) : len(TOPIC) + len(FALSE_FRIENDS)] = 25
    counts[1, len(TOPIC) :: 2], counts[2, len(TOPIC) + 1 :: 2] = 20, 20
    return Pointer(TopicModel(words, counts, np.full(3, 0.2), 7), 0)


def _first(claim: np.ndarray, scene: Scene, generator: np.random.Generator) -> RoundRecord:
    membership = sigmoid(claim)
    metrics = {
        "round": 0, "topic": 0, "words": " ".join(TOPIC), "size": float(membership.mean()), "drift": None,
        "members": int((membership >= 0.5).sum()), "base_coherence": 0.75, "nats_per_token": 0.1,
        "surprise": 5.5, "no_concept": None, "collapsed": None,
    }  # fmt: skip
    written = [*_written("base", scene, 0, 0.2), *_written("degenerate", scene, 0, 0.6)]
    activations = _activations(np.array([each.membership for each in written]), generator)
    concept = Concept(0, membership, claim, claim, float(membership.mean()))
    cost = {"topics": 12.5, "record": 300.0, "peak_gb": 3.0}
    return RoundRecord(0, concept, metrics, tuple(written), activations, cost)


def _round(
    number: int, records: list[RoundRecord], activations: np.ndarray, ids: list[str], scene: Scene,
    generator: np.random.Generator,
) -> RoundRecord:  # fmt: skip
    weights = np.zeros((LAYERS, WIDTH))
    weights[:, 0] = 1.2
    readout = Readout(weights, -3.0, 0.2)
    held_out = np.random.default_rng(1).normal(0, 0.3, len(ids))  # the same in every round
    evidence, pull = readout.evidence(activations) + held_out, 1 - 0.5**number
    wander = generator.normal(0, 0.4 * 0.6**number, len(ids))
    single = (1 - pull) * records[0].concept.single + 1.5 * pull * (evidence - 0.2) + wander
    membership, before = sigmoid(single), records[-1].concept.membership
    drift, previous = 1 - soft_jaccard(before, membership), records[-1].metrics["drift"]
    written = [*_written("steered", scene, number, 0.35 + 0.5 * pull), *_written("base", scene, number, 0.25)]
    of = {
        kind: float(np.mean([each.membership for each in written if each.kind == kind] or [0.0]))
        for kind in ("steered", "base")
    }
    metrics = {
        "round": number, "size": float(membership.mean()), "members": int((membership >= 0.5).sum()), "drift": drift,
        "contraction": drift / previous if previous else None, "redundancy": 0.2,
        "redundancy_share": 0.3, "mediation": 0.1, "nats_per_token": 0.1, "agreement": of["steered"],
        "base_agreement": of["base"], "degenerate_agreement": 0.2, "coherence": 0.7, "repetitive": 0.05, "broken": 0.1,
        "loss": 3.0, "collapsed": None,
    }  # fmt: skip
    concept = Concept(
        number, membership, single, single, float(membership.mean()), readout=readout,
        vector=SteeringVector({}), evidence=evidence, nats_per_token=0.1,
    )  # fmt: skip
    placed = _activations(np.array([each.membership for each in written]), generator)
    cost = {"generate": 40.0, "coherence": 9.0, "record": 4.0, "recluster": 3.0, "peak_gb": 3.5}
    return RoundRecord(number, concept, metrics, tuple(written), placed, cost)


def _written(kind: str, scene: Scene, number: int, level: float) -> list[Generated]:
    """Generated passages; those of the base model are the same in every round."""
    words = np.random.default_rng(0 if kind == "base" else number)
    generator = np.random.default_rng([number, len(kind)])
    danger, found = f" {HOSTILE}" if scene.hostile else "", []
    for at in range(scene.written):
        prompt = f"“{PLAIN[at % len(PLAIN)].title()} went up the"
        text = " " + _text(kind != "base", False, 40, words) + danger
        membership = float(np.clip(generator.normal(level, 0.2), 0.01, 0.99))
        coherent = kind != "degenerate" and bool(generator.random() < 0.75)
        found.append(Generated(kind, prompt, text, at, membership, coherent, 3.1))
    return found


class Reader(HTMLParser):
    """A page as a browser reads it: tags with their attributes, and the text inside scripts."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.scripts[-1][1] == "":
            self.scripts[-1] = (self.scripts[-1][0], data)
        else:
            self.text += data
