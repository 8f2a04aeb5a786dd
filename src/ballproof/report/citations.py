"""What to cite for the methods that a run used, as BibTeX."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any

from ballproof.bounds import ALIASES

KEYS: dict[str, tuple[str, ...]] = {
    "interval": ("gowal2018ibp",),
    "zonotope": ("singh2018deepz",),
    "dual": ("wong2018provable",),
    "dual-interval": ("wong2018provable", "gowal2018ibp"),
    "crown": ("zhang2018crown",),
    "crown-interval": ("zhang2020crownibp",),
    "alpha": ("xu2021fast",),
    "alpha-all": ("xu2021fast",),
    "lp": ("ehlers2017formal", "wong2018provable"),
    "lp-all": ("salman2019barrier",),
    "sdp": ("raghunathan2018sdp", "dathathri2020sdp"),
    "bab": ("wang2021beta", "xu2021fast", "bunel2018unified"),
    "milp": ("tjeng2019mip",),
    "smt": ("katz2017reluplex", "ehlers2017formal"),
    "pgd": ("madry2018pgd",),
    "bim": ("kurakin2017bim",),
    "fgsm": ("goodfellow2015fgsm",),
    "apgd": ("croce2020autoattack",),
    "auto": ("croce2020autoattack", "croce2020fab", "andriushchenko2020square"),
    "fab": ("croce2020fab",),
    "square": ("andriushchenko2020square",),
    "cw": ("carlini2017cw",),
    "ddn": ("rony2019ddn",),
    "saliency": ("papernot2016limitations",),
    "sparsers": ("croce2022sparsers",),
    "trades": ("zhang2019trades",),
    "sabr": ("mueller2023sabr",),
    "taps": ("mao2023taps",),
    "staps": ("mao2023taps", "mueller2023sabr"),
    "cc-ibp": ("depalma2024expressive",),
    "mtl-ibp": ("depalma2024expressive",),
    "exp-ibp": ("depalma2024expressive",),
    "dual-projected": ("wong2018scaling",),
    "crown-ibp": ("zhang2020crownibp",),
    "crown-ibp-fused": ("zhang2020crownibp", "xu2020autolirpa"),
    "hybrid-zonotope": ("mirman2018diffai",),
    "train sdp": ("raghunathan2018certified",),
    "mmr": ("croce2019mmr",),
    "standard": (),
    "gaussian": ("cohen2019smoothing",),
    "uniform": ("yang2020smoothing",),
    "ablation": ("levine2020ablation",),
    "adversary": ("salman2019smoothadv",),
    "consistency": ("jeong2020consistency",),
    "denoiser": ("salman2020denoised",),
    "digits": ("alpaydin1998digits",),
}
"""Entries of citations.bib by what a run's settings name."""


@cache
def entries() -> dict[str, str]:
    """The BibTeX entries that come with the package, by key."""
    text = (resources.files("ballproof.report") / "citations.bib").read_text()
    return {m[2]: m[0].strip() for m in re.finditer(r"^@(\w+)\{([^,]+),\n(?:  .*\n)+\}", text, re.MULTILINE)}


def cited(command: str, settings: dict[str, Any]) -> tuple[str, ...]:
    """The keys of what a run used; the software itself comes first."""
    found = ["ballproof", *(k for name in _used(command, settings) for k in KEYS.get(name, ()))]
    return tuple(dict.fromkeys(found))


def _used(command: str, settings: dict[str, Any]) -> list[str]:
    methods = [ALIASES.get(m.strip(), m.strip()) for m in str(settings.get("method", "")).split("+")]
    used = [f"train {m}" if command == "train" and m == "sdp" else m for m in methods]
    used += [re.split(r"[^\w-]", str(settings.get(k, "")).lower())[0].replace("-", "") for k in ("attack", "noise")]
    used += ["pgd"] if settings.get("attack_steps") else []
    used += [word for word in ("consistency", "denoiser") if settings.get(word)]
    used += ["adversary"] if settings.get("adversary_eps") else []
    used += {"demo": ["dual", "lp"], "vnncomp": ["bab"], "verify": ["bab"]}.get(command, [])
    return [*used, str(settings.get("data", ""))]
