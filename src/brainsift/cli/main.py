"""The command line: `brainsift COMMAND`. A command's module is imported only when the command runs."""

import argparse
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from brainsift import __version__
from brainsift.core.errors import BrainsiftError, InputError, MissingExtraError, in_one_line

# name -> what it does; `commands.NAME` holds `add_arguments` and `run`
COMMANDS = {
    "demo": "all steps on drawn phantom slices, in a minute and a half",
    "fetch": "download public image collections",
    "audit": "find duplicates, conflicts, broken files and shortcuts in image collections",
    "split": "divide audited images into training, validation and test set",
    "pack": "write the images of a split as one small file, to train on another machine",
    "train": "train one network",
    "tune": "search learning rate, dropout and other settings, on validation data",
    "evaluate": "score runs, or a table of predictions, with confidence intervals",
    "prune": "turn a run of lite0 into one of lite0-slim, which has fewer channels and predicts faster",
    "quantize": "turn a run into a run in INT8, which predicts faster",
    "export": "turn a run into a model bundle that `predict` uses",
    "explain": "score where a network looks against segmentation masks of tumors",
    "predict": "tell tumor from no tumor in images and folders",
    "serve": "a web page and a REST service, on this machine",
    "node": "receive series in an imaging network, and send the results back as DICOM",
    "review": "find labels that a network contradicts, for a person to check",
    "calibrate": "adapt a model bundle to a hospital with a small labeled set",
    "card": "print the model card of a bundle",
    "release": "audit, split, train, evaluate and export a network like the one that ships",
    "study": "audit, split, train, tune, evaluate and compare, from raw folders to a report",
}
_INTERRUPTED = 130
# What an error quotes may come from a file: no sign of it may steer the terminal, break the line, or turn the text.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_TORCH_FREE = ("predict", "card", "serve", "node")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        Its exit code: 0 done, 2 wrong usage, 3 bad input, 4 no download, 5 a run that cannot be used (see
        `core.errors`), 130 interrupted.
    """
    for stream in (sys.stdin, sys.stdout):  # names of files need not be UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    name = parser.parse_args(words[:1]).command
    if name in _TORCH_FREE:  # images are read in threads, which must not wait for each other's matrix products
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported
    try:
        with _extras(name):
            module = _load(name)
            code = int(module.run(_parser_of(name, module).parse_args(words[1:])) or 0)
        sys.stdout.flush()
        return code
    except BrainsiftError as error:
        return _refuse(name, error)
    except KeyboardInterrupt:
        goes_on = " Start it again with the same -o to go on." if {"-o", "--output"} & set(words) else ""
        print(f"\nbrainsift {name}: interrupted.{goes_on}", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python's own flush at exit must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refuse(name, _input_error(error))


def command_parser(name: str) -> argparse.ArgumentParser:
    """Returns the parser of one command."""
    return _parser_of(name, _load(name))


def _input_error(error: OSError) -> InputError:
    rule = error.strerror or in_one_line(error)
    if error.filename is None:  # of a disk that is full, for instance
        return InputError("the operating system", rule, "Make room, or read and write elsewhere.")
    return InputError(error.filename, rule, "Check the path and its permissions.")


def _refuse(name: str, error: BrainsiftError) -> int:
    print(f"brainsift {name}: {_UNSAFE.sub(' ', str(error))}", file=sys.stderr)
    return error.exit_code


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"brainsift.cli.commands.{name}")


@contextmanager
def _extras(name: str) -> Iterator[None]:
    """Says what to install where a command needs a package that is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "brainsift").startswith("brainsift") or name in _TORCH_FREE:
            raise
        raise MissingExtraError.of(name, str(error.name), "train") from None


def _parser_of(name: str, module: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"brainsift {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    return parser


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {words}" for name, words in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="brainsift",
        usage="brainsift [--version] COMMAND ...",
        description="Tells whether a brain MRI slice shows a tumor, and measures how far to believe it.\n"
        "Research use only. Not a medical device.\n\ncommands:\n" + listed,
        epilog="`brainsift COMMAND --help` shows the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"brainsift {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
