"""The command line: one file a command. Heavy imports stand inside the commands, so that help comes at once."""

from __future__ import annotations

import signal
import sys

from cyclopts import App, CycloptsError

from ballproof.cli.attack import attack
from ballproof.cli.certify import certify
from ballproof.cli.check import check
from ballproof.cli.demo import demo
from ballproof.cli.doctor import doctor
from ballproof.cli.models import models
from ballproof.cli.radius import radius
from ballproof.cli.report import report
from ballproof.cli.serve import serve
from ballproof.cli.smooth import smooth
from ballproof.cli.train import train
from ballproof.cli.verify import verify
from ballproof.cli.vnncomp import vnncomp
from ballproof.errors import BallproofError, InputError
from ballproof.runs.invocation import INVOCATION
from ballproof.runs.signals import Stopped, stoppable

HELP = """Prove that a network's answer cannot change anywhere in a ball round its input.

Example: ballproof certify digits-robust --data digits --eps 0.06 --limit 100
"""

app = App(name="ballproof", help=HELP, suppress_keyboard_interrupt=False)  # `main` says what to do next
app.register_install_completion_command(help="Install completion for bash, zsh or fish.")
for _command in (demo, train, attack, certify, radius, verify, check, vnncomp, models, report, smooth, serve, doctor):
    app.command(_command)


def main(tokens: list[str] | None = None) -> int:
    """Runs one command; exit code 1 where a certificate is refused, 2 and one line for bad input, 3 where proofs contradict."""
    noted = INVOCATION.set(tuple(sys.argv[1:] if tokens is None else tokens))
    try:
        with stoppable():
            code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()), 2)
    except InputError as error:
        return _fail(str(error), 2)
    except BallproofError as error:
        return _fail(f"{type(error).__name__}: {error}", 3)
    except KeyboardInterrupt as error:
        number = error.args[0] if isinstance(error, Stopped) else signal.SIGINT
        return _fail("interrupted; the run folder is whole, go on with --resume", 128 + number)
    finally:
        INVOCATION.reset(noted)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"ballproof: {' '.join(message.split())}", file=sys.stderr)
    return code
