"""Every piece is run once, in one process, in several or over Ray, whichever process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import save_tiny_model, sentence
from planted_pieces import (
    die_always,
    die_the_first_time,
    node_of,
    place_of_array,
    refuse,
    runs,
    square,
    threads_of_blas,
)

from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model import activation_cache
from agent.language_model.activation_cache import record_cached
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from loops import parallel
from loops.parallel import generate_passages, record_passages, run_pieces

PIECES = {f"piece {number}": number for number in range(4)}
LARGE = 1 << 18


def _run(work: Any, shared: Any, pieces: Any = PIECES, **where: Any) -> dict[str, Any]:
    results = list(run_pieces(partial(work, shared), pieces, **where))
    assert len(dict(results)) == len(results)
    return dict(results)


def test_one_process_goes_in_order() -> None:
    results = _run(square, 1)
    assert [*results.items()] == [("piece 0", 1), ("piece 1", 2), ("piece 2", 5), ("piece 3", 10)]


def test_two_processes_find_the_same(messages: list[str]) -> None:
    assert _run(square, 1, workers=2) == _run(square, 1)
    assert messages == []
    assert _run(square, 1, {}, workers=2) == {}


def test_a_large_array_is_mapped_and_no_file_of_it_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    found = [*_run(place_of_array, np.arange(LARGE, dtype=float), workers=2).values()]
    assert os.getpid() not in {process for process, *_ in found}
    assert {rest for _, *rest, _ in map(tuple, found) for rest in [tuple(rest)]} == {(False, True)}
    assert sorted(value for *_, value in found) == [0, 1, 2, 3]
    assert [*tmp_path.iterdir()] == []


def test_workers_calculate_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    counts = _run(threads_of_blas, np.eye(8), {"one": 0}, workers=2)["one"]
    assert counts and set(counts) == {1}
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_a_killed_worker_is_replaced_and_nothing_finished_is_run_again(
    tmp_path: Path, messages: list[str]
) -> None:
    for _, item in run_pieces(partial(die_the_first_time, tmp_path), PIECES, workers=2):
        (tmp_path / f"saved {item} after {len(runs(tmp_path, item))}").touch()
    saved = {path.name.split()[1]: path.name.split()[-1] for path in tmp_path.glob("saved*")}
    assert saved.keys() == {"0", "1", "2", "3"} and saved["2"] == "2"
    assert {str(item): str(len(runs(tmp_path, item))) for item in range(4)} == saved
    assert len(messages) == 1 and "piece 2" in messages[0]


def test_a_piece_that_always_kills_is_named_and_its_neighbour_is_not(
    tmp_path: Path, messages: list[str]
) -> None:
    with pytest.raises(BasinError, match="^piece 1 killed its worker twice") as raised:
        _run(die_always, tmp_path, workers=2)
    assert "piece 0" not in str(raised.value)
    assert len(runs(tmp_path, 1)) == 2 and len(messages) == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", [BasinError, KeyError])
def test_an_exception_comes_out(workers: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="no piece 1: leave it out"):
        _run(refuse, kind, workers=workers)


def _alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_driver(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        "import signal; from functools import partial; from pathlib import Path\n"
        "from loops.parallel import run_pieces; from planted_pieces import work_until_killed\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "if __name__ == '__main__':\n"
        f"    list(run_pieces(partial(work_until_killed, Path({str(tmp_path)!r})), {PIECES}, workers=2))"
    )
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    driver = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.PIPE)
    workers = _soon(lambda: found if len(found := [*tmp_path.glob("*.worker")]) == 2 else None)
    driver.send_signal(how)
    _, errors = driver.communicate(timeout=90)
    assert driver.returncode == (-how if how == signal.SIGKILL else -signal.SIGINT), errors
    assert _soon(lambda: not any(_alive(int(worker.stem)) for worker in workers))
    assert _soon(lambda: not [*(tmp_path / "temporary").iterdir()])


def _soon(found: Any, seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < until:
        time.sleep(0.05)
    assert result
    return result


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BasinError, match=r"pip install 'basin\[ray\]'"):
        _run(square, 1, ray="local")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES", "100000000")  # read as Ray is imported
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return pytest.importorskip("ray")


@pytest.fixture
def running_ray(ray: ModuleType) -> Iterator[ModuleType]:
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_a_cluster_that_does_not_answer(ray: ModuleType, address: str) -> None:
    with pytest.raises(BasinError, match=f"{address} .*`ray start --head`"):
        _run(square, 1, ray=address)
    assert not ray.is_initialized()


def test_ray_that_is_started_here_finds_the_same_and_ends(ray: ModuleType) -> None:
    assert _run(square, 1, ray="local", workers=2) == _run(square, 1)
    assert not ray.is_initialized()


def test_ray_tries_again_and_names_repeated_failure(running_ray: ModuleType, tmp_path: Path) -> None:
    first, always = tmp_path / "first", tmp_path / "always"
    first.mkdir(), always.mkdir()
    assert sorted(_run(die_the_first_time, first, ray="auto").values()) == [0, 1, 2, 3]
    assert len(runs(first, 2)) == 2
    with pytest.raises(BasinError, match="tried twice"):
        _run(die_always, always, ray="auto")
    assert len(runs(always, 1)) == 2
    with pytest.raises(BasinError, match=r"^no piece 1: leave it out\.$"):
        _run(refuse, BasinError, ray="auto")
    assert running_ray.is_initialized()


def test_two_machines_share_the_work_of_one(ray: ModuleType) -> None:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        pieces = {str(item): item for item in range(8)}
        found = _run(node_of, np.arange(1e5), pieces, ray=cluster.address)
    finally:
        cluster.shutdown()
    assert {value for _, value in found.values()} == {*range(8)}
    assert len({node for node, _ in found.values()}) == 2


@pytest.fixture
def config(tmp_path: Path) -> LanguageModelConfig:
    """A model in a folder, as workers can load it."""
    folder = save_tiny_model(tmp_path / "model", depth=3)
    return LanguageModelConfig(name=str(folder), layers=(1, 2), dtype="float32")


@pytest.fixture
def texts() -> list[str]:
    dice = np.random.default_rng(0)
    lengths = dice.integers(2, 12, 300)
    return [
        sentence(*dice.integers(0, 90, length)) + sentence(row % 90) for row, length in enumerate(lengths)
    ]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As workers calculate."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_workers_record_as_one_process(config, texts, tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "alone"))
    model = LanguageModel.load(config)
    alone = record_cached(model, texts)
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "spread"))
    monkeypatch.setattr(LanguageModel, "record", lambda *_, **__: pytest.fail("read again"))
    assert np.array_equal(record_passages(model, texts, workers=2), alone)
    files = {
        place: {each.name for each in (tmp_path / place).glob("activations/*/*")}
        for place in ("alone", "spread")
    }
    assert files["spread"] == files["alone"] and len(files["alone"]) == -(-300 // activation_cache.CHUNK)
    monkeypatch.setattr(parallel, "_record", lambda *_: pytest.fail("recorded again"))
    assert np.array_equal(record_passages(model, texts, workers=2), alone)


def test_workers_generate_as_one_process(config, texts, one_thread):
    model = LanguageModel.load(config)
    none = np.zeros(0)
    concept = Concept(0, none, none, none, 0.5)
    settings = GenerationConfig(new_tokens=6, batch_size=3)
    batches = {str(at): (texts[at : at + 3], [at, at + 1, at + 2]) for at in (0, 3, 6)}
    alone = dict(generate_passages(model, concept, batches, settings))
    assert all(len(alone[name]) == 3 for name in batches)
    assert dict(generate_passages(model, concept, batches, settings, workers=2)) == alone
