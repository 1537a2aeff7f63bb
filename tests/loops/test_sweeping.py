"""Every item is done once and handed over, in one process, in several or over Ray, whoever is killed."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from agent.errors import BasinError
from loops.sweeping import LARGE, sweep

ITEMS = {f"piece {number}": number for number in range(4)}
Ways = dict[str, Any]


def square(shared: int, item: int) -> int:
    return shared + item**2


class NotedWhenRead:
    """Leaves a file in its folder whenever it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        _note(self.folder, 0)


def where_the_array_is(shared: dict[str, Any], item: int) -> tuple[int, int, bool, bool, float]:
    """The process, the array's address, whether it can be written, whether a file is mapped there, its sum."""
    array, base = shared["large"], shared["large"]
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = isinstance(memoryview(base).obj, mmap.mmap)
    time.sleep(0.05)
    return os.getpid(), array.ctypes.data, array.flags.writeable, mapped, float(array[item])


def threads_of_blas(shared: np.ndarray, item: int) -> list[int]:
    from threadpoolctl import threadpool_info

    shared @ shared
    return [each["num_threads"] for each in threadpool_info()]


def die_the_first_time(folder: Path, item: int) -> int:
    _note(folder, item)
    if item == 2 and len(_runs(folder, item)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def die_always(folder: Path, item: int) -> int:
    """Item 1 kills its worker; item 0 is long, so that it is under way whenever that happens."""
    _note(folder, item)
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1.5 if item == 0 else 0)
    return item


def refuse(shared: type[Exception], item: int) -> int:
    if item == 1:
        raise shared("no piece 1: leave it out.")
    return item


def work_until_killed(folder: Path, item: int) -> None:
    (folder / f"{os.getpid()}.worker").touch()
    time.sleep(60)


def node_of(shared: np.ndarray, item: int) -> tuple[str, float]:
    import ray

    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id(), float(shared[item])


def _note(folder: Path, item: int) -> None:
    (folder / f"{item}.{time.monotonic_ns()}").touch()


def _runs(folder: Path, item: int) -> list[Path]:
    return [*folder.glob(f"{item}.*")]


def _swept(
    function: Any, shared: Any, items: Any = ITEMS, said: list[str] | None = None, **ways: Any
) -> Ways:
    results: Ways = {}

    def finished(name: str, result: Any) -> None:
        assert name not in results
        results[name] = result

    sweep(function, shared, items, finished, **ways)
    return results


def test_one_process_goes_in_order() -> None:
    results = _swept(square, 1)
    assert [*results.items()] == [("piece 0", 1), ("piece 1", 2), ("piece 2", 5), ("piece 3", 10)]


def test_two_processes_find_the_same() -> None:
    said: list[str] = []
    assert _swept(square, 1, said=said, workers=2) == _swept(square, 1)
    assert said == []
    assert _swept(square, 1, items={}, workers=2) == {}


def test_a_large_array_is_mapped_once_in_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, temporary = tmp_path / "notes", tmp_path / "temporary"
    notes.mkdir(), temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    shared = {"read": NotedWhenRead(notes), "small": np.arange(3), "other": np.ones(LARGE)}
    shared["large"] = np.arange(LARGE, dtype=float)
    found = [*_swept(where_the_array_is, shared, workers=2).values()]
    addresses = {(process, address) for process, address, *_ in found}
    assert os.getpid() not in dict(addresses)
    assert len(addresses) == len(dict(addresses)) == len(_runs(notes, 0))
    assert [rest for _, _, *rest in found if rest[:2] != [False, True]] == []
    assert sorted(value for *_, value in found) == [0, 1, 2, 3]
    assert [*temporary.iterdir()] == []


def test_workers_calculate_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    counts = _swept(threads_of_blas, np.eye(8), {"one": 0}, workers=2)["one"]
    assert counts and set(counts) == {1}
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_a_killed_worker_is_replaced_and_nothing_finished_is_run_again(tmp_path: Path) -> None:
    said: list[str] = []
    results: Ways = {}

    def finished(name: str, result: int) -> None:
        results[name] = len(_runs(tmp_path, result))

    sweep(die_the_first_time, tmp_path, ITEMS, finished, workers=2)
    assert results.keys() == ITEMS.keys()
    assert len(_runs(tmp_path, 2)) == 2
    assert {name: len(_runs(tmp_path, item)) for name, item in ITEMS.items()} == results
    assert len(said) == 1 and "piece 2" in said[0]


def test_one_that_always_kills_is_named_and_its_long_neighbour_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(BasinError, match="ran piece 1 .2 times.") as raised:
        _swept(die_always, tmp_path, said=said, workers=2, retries=1)
    assert "piece 0" not in str(raised.value)
    assert len(_runs(tmp_path, 1)) == 2 and len(said) == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", [BasinError, KeyError])
def test_an_exception_comes_out(
    workers: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(kind, match="no piece 1: leave it out"):
        _swept(refuse, kind, workers=workers)
    assert [*tmp_path.iterdir()] == []


def _alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_driver(how: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import signal; from pathlib import Path\n"
        "from loops.sweeping import sweep; from test_sweeping import work_until_killed\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "if __name__ == '__main__':\n"
        f"    sweep(work_until_killed, Path({str(tmp_path)!r}), {ITEMS}, print, workers=2)"
    )
    script = tmp_path / "driver.py"
    script.write_text(code)
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
        _swept(square, 1, ray_address="local")


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
        _swept(square, 1, ray_address=address)
    assert not ray.is_initialized()


def test_ray_that_is_started_here_finds_the_same_and_ends(ray: ModuleType) -> None:
    assert _swept(square, 1, ray_address="local", workers=2) == _swept(square, 1)
    assert not ray.is_initialized()


def test_ray_tries_again_and_names_what_always_kills(running_ray: ModuleType, tmp_path: Path) -> None:
    first, always = tmp_path / "first", tmp_path / "always"
    first.mkdir(), always.mkdir()
    assert sorted(_swept(die_the_first_time, first, ray_address="auto").values()) == [0, 1, 2, 3]
    assert [len(_runs(first, item)) for item in ITEMS.values()] == [1, 1, 2, 1]
    with pytest.raises(BasinError, match="piece 1, tried 2 times"):
        _swept(die_always, always, ray_address="auto", retries=1)
    assert len(_runs(always, 1)) == 2
    with pytest.raises(BasinError, match=r"^no piece 1: leave it out\.$"):
        _swept(refuse, BasinError, ray_address="auto")
    assert running_ray.is_initialized()


def test_two_machines_share_the_work_of_one(ray: ModuleType) -> None:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    shared = np.arange(1e5)
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        one = _swept(node_of, shared, ray_address=cluster.address)
        cluster.add_node(**node)
        two = _swept(node_of, shared, {str(item): item for item in range(8)}, ray_address=cluster.address)
    finally:
        cluster.shutdown()
    assert {value for _, value in one.values()} == {0, 1, 2, 3} and len(
        {node for node, _ in one.values()}
    ) == 1
    assert {value for _, value in two.values()} == {*range(8)} and len(
        {node for node, _ in two.values()}
    ) == 2
