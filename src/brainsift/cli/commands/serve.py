"""Open a web page that scores images, and serve predictions over REST. Nothing leaves this machine."""

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
        "--bundle",
        type=Path,
        default=SHIPPED,
        metavar="DIR",
        help="network, made by `brainsift export` (default: the one in the package)",
    )
    flags.add_flags(parser, ServeConfig)


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is stopped."""
    from brainsift.serve.http.app import create_app  # the web framework takes time to import
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
        # The address for the browser is without the token: anyone who lists processes could read it.
        Server(app, url=f"{url}/" if config.browser else "").run(sockets=[listener])
    return 0
