"""The settings of `brainsift serve`: where it listens, what it keeps, and its limits."""

import dataclasses
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from brainsift.core.errors import UsageError
from brainsift.images.decode import Limits
from brainsift.serve.loopback import is_loopback

MIB = 2**20
_MIN_TOKEN = 16
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")  # as browsers send it, RFC 6454


@dataclass(frozen=True)
class ServeConfig:
    """How the service runs.

    Attributes:
        host: address to listen on; an address that other machines can reach needs a token.
        port: port to listen on; 0 takes any free one.
        browser: open the page in a browser.
        token: secret that every request has to send; the variable BRAINSIFT_TOKEN sets it as well.
        cors: origin of another website whose pages may use the service, for example https://lab.example.
        keep: folder of the history; without it nothing is kept.
        keep_images: keep the pictures with the history as well.
        threads: threads for decoding and for the network; 0 for all cores.
        connections: largest number of open connections.
        queue: slices that may wait; beyond that the service replies that it is busy.
        upload_mb: largest upload, and largest volume once unpacked, MiB.
        unpacked_mb: largest content of an archive, MiB.
        files: largest number of files in an upload or an archive.
        slices: largest number of slices in an upload.
        megapixels: largest image, millions of pixels.
        store_mb: disk space for all uploads together, MiB.
        timeout_s: longest time for one request, seconds.
        expiry_minutes: time after which a job that nobody asks for is forgotten, minutes.
        grace_s: time to finish accepted work when the service is stopped, seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    browser: bool = True
    token: str | None = None
    cors: str | None = None
    keep: Path | None = None
    keep_images: bool = False
    threads: int = 0
    connections: int = 512
    queue: int = 256
    upload_mb: int = 256
    unpacked_mb: int = 1024
    files: int = 2000
    slices: int = 5000
    megapixels: int = 32
    store_mb: int = 4096
    timeout_s: float = 120.0
    expiry_minutes: float = 30.0
    grace_s: float = 30.0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: a value that is not possible, or no token for an address that other machines can reach.
        """
        for field in dataclasses.fields(self):
            value, zero = getattr(self, field.name), field.name in ("port", "threads", "grace_s")
            if isinstance(value, int | float) and not isinstance(value, bool) and (value < 0 if zero else value <= 0):
                rule = f"must be {'0 or more' if zero else 'above 0'}, not {value}"
                raise UsageError(field.name, rule, f"Leave it out; the default is {field.default}.")
        if self.port > 65535:
            raise UsageError("port", f"must be at most 65535, not {self.port}", f"The default is {ServeConfig.port}.")
        if self.token is not None and (len(self.token) < _MIN_TOKEN or not self.token.isascii() or " " in self.token):
            rule = f"must be {_MIN_TOKEN} or more ASCII characters without spaces"
            raise UsageError("token", rule, f"For example: --token {secrets.token_urlsafe(24)}")
        if self.cors is not None and not _ORIGIN.fullmatch(self.cors):
            rule = f"must be one origin, a scheme with a host and perhaps a port, not {self.cors!r}"
            raise UsageError("cors", rule, "For example: --cors https://lab.example")
        if not self.token and not is_loopback(self.host):
            rule = f"{self.host} can be reached from other machines, so a token is needed"
            raise UsageError("host", rule, f"For example: --token {secrets.token_urlsafe(24)}")
        if self.keep_images and self.keep is None:
            raise UsageError("keep-images", "needs a history", "Give --keep FOLDER as well.")

    @property
    def limits(self) -> Limits:
        """The limits of an image."""
        return Limits(max_pixels=self.megapixels * 1_000_000, max_bytes=self.upload_mb * MIB)
