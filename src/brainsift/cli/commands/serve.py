"""Show a web page that judges what is dropped on it, and answer over REST. Nothing leaves this machine."""

import argparse
import os
from pathlib import Path
from urllib.parse import quote

from brainsift.cli import flags
from brainsift.cli.console import NOTICE, say
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.serve.config import ServeConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--bundle", type=Path, default=SHIPPED, metavar="DIR", help="of `brainsift export` (default: the package's own)"
    )
    flags.add_flags(parser, ServeConfig)


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is told to stop."""
    from brainsift.serve.http.app import create_app  # the framework costs start-up time
    from brainsift.serve.http.middleware import log_to_stderr
    from brainsift.serve.http.server import Server, address, listen

    if os.environ.get("BRAINSIFT_TOKEN") and "token" not in arguments:
        arguments.token = os.environ["BRAINSIFT_TOKEN"]
    config = flags.make(arguments, ServeConfig)
    with listen(config) as listener:
        app = create_app(config, load_bundle(arguments.bundle))
        url = address(config, listener)
        say(f"{url}/?token={quote(config.token, safe='')}" if config.token else f"{url}/")
        say(NOTICE)
        log_to_stderr()
        # A browser that is told the token shows it to all who list processes: the page asks for it.
        Server(app, url=f"{url}/" if config.browser else "").run(sockets=[listener])
    return 0
