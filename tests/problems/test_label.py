"""Margins of labels."""

import torch

from ballproof.problems import classified_as


def test_margins_are_of_the_default_type_of_now_not_of_their_first_use() -> None:
    before = torch.get_default_dtype()
    try:
        for kind in (torch.float64, torch.float32, torch.float64):
            torch.set_default_dtype(kind)
            assert classified_as([1]).margins(7).dtype == classified_as([1]).margins(70).dtype == kind
    finally:
        torch.set_default_dtype(before)
