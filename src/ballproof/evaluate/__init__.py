"""Certified and attacked accuracy over a data set."""

from ballproof.evaluate.assertion import assert_robust
from ballproof.evaluate.certify import CertifySettings, Table, certify
from ballproof.evaluate.model import load_model

__all__ = ["CertifySettings", "Table", "assert_robust", "certify", "load_model"]
