"""Receive MR series in an imaging network, score them, and send the results to archives as DICOM objects."""

import argparse
import time
from pathlib import Path

from brainsift.cli.console import NOTICE, say, show_table
from brainsift.core.errors import UsageError
from brainsift.node.journal import Journal
from brainsift.node.settings import Settings, read_settings

ACTIONS = {
    "status": "series by state, deliveries by target, the last errors",
    "retry": "send at once what a target did not take",
    "rescore": "score series again, with another network for instance",
    "purge": "remove images and results of all series that were delivered or skipped",
}
_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    listed = "; ".join(f"{name}: {words}" for name, words in ACTIONS.items())
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, metavar="ACTION", help=f"without one, the node runs. {listed}"
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="settings, see docs/reference/node.md")
    parser.add_argument(
        "series",
        nargs="*",
        metavar="SERIES",
        help="for `rescore`: names of series as `status` shows them (default: all)",
    )
    parser.add_argument(
        "--check", action="store_true", help="check the settings, ask each target whether it is there, and end"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the node, or does one thing with its journal."""
    settings = read_settings(arguments.config)
    if arguments.check:
        return _check(settings)
    if arguments.action:
        return _act(settings, arguments.action, arguments.series)
    from brainsift.node.event_log import log_to_stderr
    from brainsift.node.node import Node  # what it needs takes time to import

    log_to_stderr()
    node = Node(settings)
    say(f"DICOM: {settings.dicom.ae_title} at {settings.dicom.host}:{node.receiver.port}")
    if node.web:
        say(f"HTTP: {settings.web.host if settings.web else ''}:{node.web.port}")
    say(NOTICE)
    node.run()
    return 0


def _check(settings: Settings) -> int:
    from brainsift.node.event_log import log_to_stderr
    from brainsift.node.intake import ACCEPTED, readable_syntaxes
    from brainsift.node.node import check_partners

    log_to_stderr()
    callers = ", ".join(settings.dicom.callers) or "any caller"
    say(f"Accepts at {settings.dicom.host}:{settings.dicom.port} as {settings.dicom.ae_title}, from {callers}:")
    for name in ACCEPTED.values():
        say(f"  {name}, in {len(readable_syntaxes())} transfer syntaxes")
    made = [name for name, wanted in vars(settings.results).items() if wanted]
    say(f"Sends: structured_report, {', '.join(made)}".rstrip(", "))
    found = check_partners(settings)
    for one in found:
        say(f"Target {one.target}: {one.fault or 'replies'}")
    return 5 if any(one.fault for one in found) else 0


def _act(settings: Settings, action: str, names: list[str]) -> int:

    if not (settings.folder / "journal.sqlite").exists():
        raise UsageError(settings.folder, "holds no journal", "Start the node first.")
    journal = Journal(settings.folder)
    if action == "status":
        _status(journal)
    elif action == "retry":
        say(f"{journal.retry(at=time.time())} deliveries are due now.")
    elif action == "rescore":
        chosen = [journal.named(name) for name in names] if names else [*journal.series()]
        if unknown := [name for name, one in zip(names, chosen, strict=False) if one is None]:
            raise UsageError("SERIES", f"{unknown[0]!r} is no series, or the start of several", "See `node status`.")
        number = journal.rescore([one.id for one in chosen if one], at=time.time())
        say(f"{number} series will be scored again; of {len(chosen) - number} the images are no longer here.")
    else:
        say(f"The images and results of {journal.expire()} series will be removed within a minute.")
    return 0


def _status(journal: Journal) -> None:
    counts = [[state, str(number)] for state, number in sorted(journal.counts().items())]
    show_table("Series", ("state", "number"), counts)
    deliveries = [[target, state, str(n)] for (target, state), n in sorted(journal.delivery_counts().items())]
    show_table("Deliveries", ("target", "state", "number"), deliveries)
    errors = [[one.target, one.state, str(one.attempts), one.error] for one in journal.deliveries() if one.error]
    show_table("Last errors", ("target", "state", "attempts", "error"), errors[-_LISTED:])
    series = [[one.name, one.state, str(one.version), one.reason] for one in journal.series()]
    show_table(f"The last {_LISTED} series", ("series", "state", "version", "reason"), series[-_LISTED:])
