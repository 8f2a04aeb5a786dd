"""Downloads from a server of this machine: what is right is kept, what is not leaves nothing."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.client import IncompleteRead
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ballproof.data import download as downloads
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


def served(server: tuple[str, Path], name: str, content: bytes, path: str, md5: str = "", folder: str = "") -> Remote:
    (server[1] / name).write_bytes(content)
    return Remote(f"{server[0]}/{name}", path, md5 or hashlib.md5(content, usedforsecurity=False).hexdigest(), folder)


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
    remote = served(server, "packed.tar.gz", buffer.getvalue(), "cifar-10-binary.tar.gz", folder="cifar-10-batches-bin")
    monkeypatch.setitem(REMOTES, "cifar10", (remote,))
    place = tmp_path / "data"
    place.mkdir()
    assert load("cifar10", "test", place, fetch=True).labels.tolist() == [3, 1, 4, 1]
    assert len(load("cifar10", "train", place)) == 20
    assert download("cifar10", place) == []
    assert sorted(p.name for p in place.iterdir()) == ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]


def test_a_kill_while_unpacking_leaves_nothing_that_is_taken_for_whole(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packed file is there; the second time it is unpacked without being fetched again."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        about = tarfile.TarInfo("things/one.bin")
        about.size = 3
        packed.addfile(about, io.BytesIO(b"abc"))
    remote = served(server, "packed.tar.gz", buffer.getvalue(), "packed.tar.gz", folder="things")
    monkeypatch.setitem(REMOTES, "cifar10", (remote,))
    whole = downloads._take

    def killed(packed: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
        whole(packed, member, place)
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_take", killed)
    with pytest.raises(KeyboardInterrupt):
        download("cifar10", tmp_path / "data")
    assert not (tmp_path / "data" / "things").exists()
    monkeypatch.setattr(downloads, "_take", whole)
    (server[1] / "packed.tar.gz").unlink()
    assert download("cifar10", tmp_path / "data") == [tmp_path / "data" / "things"]
    assert (tmp_path / "data" / "things" / "one.bin").read_bytes() == b"abc"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "packed.tar.gz").write_bytes(buffer.getvalue()[:40])
    with pytest.raises(InputError, match=r"packed\.tar\.gz is not the published file: its checksum is not"):
        download("cifar10", tmp_path / "other")
    monkeypatch.setitem(REMOTES, "cifar10", (served(server, "a", buffer.getvalue()[:40], "packed.tar.gz", folder="things"),))
    with pytest.raises(InputError, match="could not be unpacked"):
        download("cifar10", tmp_path / "other")
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["packed.tar.gz"]


@pytest.mark.parametrize(
    ("name", "kind"), [("../out.bin", tarfile.REGTYPE), ("/out.bin", tarfile.REGTYPE), ("in", tarfile.SYMTYPE)]
)
def test_only_plain_files_inside_are_unpacked(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, kind: bytes
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        about = tarfile.TarInfo(name)
        about.type, about.linkname = kind, "/etc"
        packed.addfile(about)
    remote = served(server, "packed.tar.gz", buffer.getvalue(), "packed.tar.gz", folder="things")
    monkeypatch.setitem(REMOTES, "cifar10", (remote,))
    with pytest.raises(InputError, match=f"`{name}` is no plain file inside"):
        download("cifar10", tmp_path / "data")
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["packed.tar.gz"]


def test_an_answer_cut_short_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise IncompleteRead(b"some")

    monkeypatch.setattr("ballproof.data.download.urlopen", lambda *a, **k: Cut())
    with pytest.raises(InputError, match=r"could not be fetched to .*IncompleteRead"):
        download("svhn", tmp_path)
    assert list((tmp_path / "svhn").iterdir()) == []


def test_processes_write_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Watched(io.BytesIO):
        def read(self, *_: object) -> bytes:
            seen.extend(p.name for p in (tmp_path / "svhn").iterdir())
            return b""

    monkeypatch.setattr("ballproof.data.download.urlopen", lambda *a, **k: Watched())
    with pytest.raises(InputError, match="not the published file"):
        download("svhn", tmp_path)
    assert len(seen) == 1 and str(os.getpid()) in seen[0]


def test_what_is_there_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data in another accepted place and a file of one's own."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr("ballproof.data.download.urlopen", never)
    place = tmp_path / "cifar10" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    (place / "test_batch.bin").write_bytes(bytes(3073 * 2))
    assert len(load("cifar10", "test", tmp_path, fetch=True)) == 2
    np.savez(tmp_path / "own.npz", inputs=np.zeros((3, 2), np.float32), labels=np.array([0, 1, 0]))
    assert len(load(tmp_path / "own.npz", fetch=True)) == 3
    (place / "test_batch.bin").write_bytes(b"short")
    (tmp_path / "cifar-10-batches-bin").mkdir()
    with pytest.raises(InputError, match=r"no .*test_batch.bin"):
        load("cifar10", "test", tmp_path, fetch=True)


def test_another_content_and_a_missing_file_leave_nothing(
    tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REMOTES, "svhn", (served(server, "a.mat", b"something else", "svhn/train_32x32.mat", "0" * 32),))
    with pytest.raises(InputError, match="not the published file: checksum"):
        download("svhn", tmp_path)
    monkeypatch.setitem(REMOTES, "svhn", (Remote(f"{server[0]}/absent.mat", "svhn/test_32x32.mat", "0" * 32),))
    with pytest.raises(InputError, match="could not be fetched"):
        download("svhn", tmp_path)
    assert list((tmp_path / "svhn").iterdir()) == []


def test_a_data_set_without_known_checksums_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known are mnist"):
        download("digits", tmp_path)


def test_a_zip_in_a_zip_is_unpacked(tmp_path: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the archive of HAR is: three rows of features for the test."""
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("UCI HAR Dataset/test/X_test.txt", (" ".join(["-1.0"] * 561) + "\n") * 3)
        packed.writestr("UCI HAR Dataset/test/y_test.txt", "1\n6\n2\n")
    with zipfile.ZipFile(outer, "w") as packed:
        packed.writestr("UCI HAR Dataset.names", "about")
        packed.writestr("UCI HAR Dataset.zip", inner.getvalue())
    content = outer.getvalue()
    (remote,) = REMOTES["har"]
    here = served(server, "har.zip", content, remote.path, hashlib.sha256(content).hexdigest(), remote.folder)
    monkeypatch.setitem(REMOTES, "har", (here,))
    (tmp_path / "data").mkdir()
    assert load("har", "test", tmp_path / "data", fetch=True).labels.tolist() == [0, 5, 1]
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["UCI HAR Dataset", remote.path]
    monkeypatch.setitem(REMOTES, "har", (replace(here, digest="0" * 64),))
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="not the published file: checksum"):
        load("har", "test", tmp_path / "other", fetch=True)


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
                assert hashlib.md5(content, usedforsecurity=False).hexdigest() == remote.digest
                assert len(parse_idx(gzip.decompress(content), file, "", 3 if "images" in file.name else 1)) in (10_000, 60_000)
                seen += 1
    assert seen >= 6
