"""``prl``: the entry point; errors become messages and exit codes."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from paraphrase_rl import __version__
from paraphrase_rl.cli.commands import CommandGroup
from paraphrase_rl.cli.output import say
from paraphrase_rl.cli.signals import Terminated, exit_code, terminated_is_raised
from paraphrase_rl.cli.streams import STDOUT, ensure_streams, silence
from paraphrase_rl.errors import EXIT_OK, EXIT_USAGE, PrlError


@dataclass
class GlobalOptions:
    """Values of the global options."""

    debug: bool = False


class PrlGroup(CommandGroup):
    """Group of all commands, which turns errors into messages and exit codes."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **_extra: Any
    ) -> NoReturn:
        """Run and exit.

        0 success; 1 a check or an item failed; 2 wrong use or an internal error; 130 stopped by Ctrl-C, 143 by
        SIGTERM or SIGHUP.
        """
        if "_PRL_COMPLETE" in os.environ:
            super().main(prog_name="prl", complete_var="_PRL_COMPLETE")
        if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # data, whatever the locale
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a text may hold what the terminal cannot show
        sys.exit(self._run(list(sys.argv[1:] if args is None else args), GlobalOptions()))

    def _run(self, args: list[str], options: GlobalOptions) -> int:
        try:
            code = self._invoke(args, options)
            sys.stdout.flush()
            return code
        except (KeyboardInterrupt, click.Abort) as end:
            say("terminated" if isinstance(end, Terminated) else "interrupted")
            return exit_code(end)
        except BrokenPipeError:
            silence(STDOUT)
            return EXIT_OK
        except PrlError as error:
            return _report(error, error.message, error.hint, error.exit_code, options)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return EXIT_USAGE
        except click.ClickException as error:
            usage = getattr(error, "ctx", None)
            hint = f"{usage.command_path} --help" if usage else ""
            return _report(error, error.format_message(), hint, EXIT_USAGE, options)
        except OSError as error:
            silence(STDOUT)
            return _report(error, str(error), "", EXIT_USAGE, options)
        except Exception as error:
            from paraphrase_rl.errors import one_line

            hint = "this is a bug; `prl --debug ...` shows where"
            return _report(error, f"internal error: {one_line(error)}", hint, EXIT_USAGE, options)

    def _invoke(self, args: list[str], options: GlobalOptions) -> int:
        try:
            with self.make_context("prl", args, obj=options) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        return EXIT_OK


def _report(error: Exception, message: str, hint: str, code: int, options: GlobalOptions) -> int:
    if options.debug:
        say("".join(traceback.format_exception(error)).rstrip())
    else:
        for note in getattr(error, "__notes__", ()):
            say(note)
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")
    return code


def _set_debug(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.obj.debug = value
    if value:
        import logging

        class Said(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                say(self.format(record))

        logging.basicConfig(format="%(message)s", handlers=[Said()])
        logging.getLogger("paraphrase_rl").setLevel(logging.DEBUG)  # says which plug-ins failed, and why


@click.group(cls=PrlGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--debug", is_flag=True, is_eager=True, expose_value=False, callback=_set_debug, help="Show tracebacks."
)
@click.version_option(__version__, prog_name="prl", message="%(prog)s %(version)s")
def cli() -> None:
    """Measure how AI-text detectors hold up under rewriting; train the rewriter that tests them."""


def main() -> NoReturn:
    """Run ``prl``: the entry point of the console script."""
    from paraphrase_rl.plugin.installed import hide_damaged

    try:
        ensure_streams()
        terminated_is_raised()
        hide_damaged()
        cli.main()
    except KeyboardInterrupt as end:  # once more, while the first was being dealt with
        os._exit(exit_code(end))
