"""`load`: names, splits, folders and limits; what is not one of them is told what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballproof.data import NAMES, load
from ballproof.errors import InputError


@pytest.mark.parametrize(
    ("written", "meant"), [("mnits", "mnist"), ("MNIST", "mnist"), ("fashion_mnist", "fashion-mnist"), ("cifar-10", "cifar10")]
)
def test_an_unknown_name_gets_the_list_and_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"`data` is '{written}'.*did you mean `{meant}`") as refused:
        load(written, "test")
    assert all(name in str(refused.value) for name in NAMES)


def test_a_name_like_none_gets_the_list_alone() -> None:
    with pytest.raises(InputError, match="expected one of digits") as refused:
        load("imagenet", "test")
    assert "did you mean" not in str(refused.value)


@pytest.mark.parametrize("split", ["validation", "", "Train"])
def test_an_unknown_split_is_refused(split: str) -> None:
    with pytest.raises(InputError, match="expected train or test"):
        load("digits", split)


def test_the_first_examples_are_taken_up_to_the_limit() -> None:
    whole = load("digits", "test")
    assert load("digits", "test", limit=3).indices.tolist() == whole.indices[:3].tolist()
    assert len(load("digits", "test", limit=10_000)) == len(whole)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(InputError, match="`limit`"):
        load("digits", "test", limit=limit)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_files_need_a_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BALLPROOF_DATA", raising=False)
    with pytest.raises(InputError, match=rf"`{name}` is read from files: say where .*BALLPROOF_DATA"):
        load(name, "test")
    with pytest.raises(InputError, match="which is no folder"):
        load(name, "test", tmp_path / "absent")


def test_the_environment_names_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALLPROOF_DATA", str(tmp_path))
    with pytest.raises(InputError, match=rf"in {tmp_path}/mnist, "):
        load("mnist", "test")
