"""The public names are frozen, exist, and cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ballproof

NAMES = """
Ablation BIM Box Budget Gaussian Smoothed Uniform
 Dataset FGSM Graph InputError Interval L0 L1 L2 Linf PGD Problem Property SoundnessError UnsupportedError
Verdict as_graph assert_robust attack ball bound certify classified_as linear_bounds linear_constraints load_data lower_bounds
margins minimal_distance read_onnx read_vnnlib robust_loss snapshot verify verify_files
""".split()


def test_the_list_is_frozen() -> None:
    assert sorted(ballproof.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name: str) -> None:
    assert name in dir(ballproof) and callable(getattr(ballproof, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'certifie'"):
        _ = ballproof.certifie


@pytest.mark.parametrize("module", ["ballproof", "ballproof.cli"])
def test_importing_does_not_load_torch(module: str) -> None:
    asked = f"import sys, {module}; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
