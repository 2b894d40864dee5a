"""A service for the notebooks of this machine, which may show its page in a frame.

`brainsift.show` starts it: `python -m brainsift.serve.http.framed BUNDLE`. It prints its address, and ends when its
standard input ends: so it ends with the process that started it, however that ends. docs/design.md says why it is a
service of its own.
"""

import signal
import sys
import threading
from pathlib import Path

from brainsift.inference.bundle import load_bundle
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app
from brainsift.serve.http.middleware import log_to_stderr
from brainsift.serve.http.server import Server, address, listen

_GRACE_S = 1.0  # nobody waits for its results any more


def main() -> None:
    """Serves until standard input ends."""
    config = ServeConfig(port=0, browser=False, grace_s=_GRACE_S)
    with listen(config) as listener:
        server = Server(create_app(config, load_bundle(Path(sys.argv[1])), framed=True))
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        log_to_stderr()
        listener.listen()  # whoever reads the address may ask at once
        print(address(config, listener), flush=True)
        server.run(sockets=[listener])


def _end_with_input(server: Server) -> None:
    sys.stdin.buffer.read()
    server.handle_exit(signal.SIGTERM, None)


if __name__ == "__main__":
    main()
