"""Downloads from a server of this machine: what is right is kept, what is not leaves nothing."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ballproof.data import load
from ballproof.data.download import REMOTES, Remote, download
from ballproof.data.idx import parse_idx
from ballproof.errors import InputError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder it serves."""
    place = tmp_path / "served"
    place.mkdir()
    found = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(place)))
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_address[1]}", place
    found.shutdown()
    found.server_close()
    thread.join()


def served(server: tuple[str, Path], name: str, content: bytes, path: str, md5: str = "") -> Remote:
    (server[1] / name).write_bytes(content)
    return Remote(f"{server[0]}/{name}", path, md5 or hashlib.md5(content, usedforsecurity=False).hexdigest())


def test_a_packed_file_is_fetched_once_and_unpacked(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (4, 3073), dtype=np.uint8)
    rows[:, 0] = [3, 1, 4, 1]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name in ("test_batch.bin", *(f"data_batch_{i}.bin" for i in range(1, 6))):
            about = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            about.size = rows.nbytes
            packed.addfile(about, io.BytesIO(rows.tobytes()))
    remote = served(server, "packed.tar.gz", buffer.getvalue(), "cifar-10-binary.tar.gz")
    monkeypatch.setitem(REMOTES, "cifar10", (remote,))
    place = tmp_path / "data"
    place.mkdir()
    assert load("cifar10", "test", place, fetch=True).labels.tolist() == [3, 1, 4, 1]
    assert len(load("cifar10", "train", place)) == 20
    assert download("cifar10", place) == []


def test_another_content_and_a_missing_file_leave_nothing(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REMOTES, "svhn", (served(server, "a.mat", b"something else", "svhn/train_32x32.mat", "0" * 32),))
    with pytest.raises(InputError, match="not the published file: MD5"):
        download("svhn", tmp_path)
    monkeypatch.setitem(REMOTES, "svhn", (Remote(f"{server[0]}/absent.mat", "svhn/test_32x32.mat", "0" * 32),))
    with pytest.raises(InputError, match="could not be fetched"):
        download("svhn", tmp_path)
    assert list((tmp_path / "svhn").iterdir()) == []


def test_a_data_set_without_known_checksums_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known are mnist"):
        download("har", tmp_path)


def test_the_known_checksums_are_those_of_the_published_files() -> None:
    """The files beside the project are the published ones, byte for byte."""
    shared = Path(__file__).parents[3] / "shared" / "data"
    if not (shared / "mnist").is_dir():
        pytest.skip(f"no {shared}")
    seen = 0
    for name in ("mnist", "fashion-mnist"):
        for remote in REMOTES[name]:
            file = shared / remote.path.replace("fashion-mnist/", "fashion_mnist/")
            if file.is_file():
                content = file.read_bytes()
                assert hashlib.md5(content, usedforsecurity=False).hexdigest() == remote.md5
                assert len(parse_idx(gzip.decompress(content), file, "", 3 if "images" in file.name else 1)) in (10_000, 60_000)
                seen += 1
    assert seen >= 6
