"""The table of translators: `@translates("aten.relu.default")` enters a function that turns such a call into nodes."""

from __future__ import annotations

from collections.abc import Callable

from ballproof.networks.aten.site import Masked, Ref, Site, Unmodelled

Result = Ref | Masked | list[Ref] | list[Ref | Unmodelled]
Translator = Callable[[Site], Result]

TRANSLATORS: dict[str, Translator] = {}
"""By ATen name without the underscore of in-place forms, e.g. `aten.add.Tensor` (also used for `aten.add_.Tensor`)."""


TAKE_MASKED: set[str] = set()
"""The calls whose translator takes `Masked` arguments."""


def translates(*targets: str, masked: bool = False) -> Callable[[Translator], Translator]:
    """Enter a translator for these ATen calls; a second one for the same call is refused. masked: it takes `Masked`."""

    def enter(translator: Translator) -> Translator:
        for target in targets:
            if target in TRANSLATORS:
                raise TypeError(f"`{target}` has two translators")
            TRANSLATORS[target] = translator
        TAKE_MASKED.update(targets if masked else ())
        return translator

    return enter
