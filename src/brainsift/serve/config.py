"""What `brainsift serve` can be told: where it listens, what it keeps, and how much it takes on."""

import dataclasses
import secrets
from dataclasses import dataclass
from pathlib import Path

from brainsift.core.errors import UsageError
from brainsift.images.decode import Limits
from brainsift.serve.loopback import is_loopback

MIB = 2**20
_MIN_TOKEN = 16


@dataclass(frozen=True)
class ServeConfig:
    """How the service runs.

    Attributes:
        host: address to listen on; beyond this machine only with a token.
        port: 0 takes any free one.
        browser: open the page in a browser.
        token: that every request has to bring; also read from BRAINSIFT_TOKEN.
        keep: folder of the history; without it nothing is kept.
        keep_images: keep the pictures with the history as well.
        threads: for decoding and for the network; 0 for all cores.
        connections: that may be open at a time.
        queue: slices that may wait; beyond that the service answers that it is busy.
        upload_mb: size of an upload, and of a volume once unpacked, MiB.
        unpacked_mb: size of what an archive holds, MiB.
        files: number of files in an upload or an archive.
        slices: number of slices in an upload.
        megapixels: of one image, millions.
        store_mb: what uploads may take on the disk together, MiB.
        timeout_s: seconds that one request may take.
        expiry_minutes: minutes after which a job that nobody asks for is forgotten.
        grace_s: seconds that accepted work has when the service is stopped.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    browser: bool = True
    token: str | None = None
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
        """Refuses values that make no sense.

        Raises:
            UsageError: such a value, or an address beyond this machine without a token.
        """
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), 0 if field.name in ("port", "threads", "grace_s") else 1e-3
            if isinstance(value, int | float) and not isinstance(value, bool) and value < least:
                raise UsageError(field.name, f"must be above 0, not {value}", "Leave it out.")
        if self.port > 65535:
            raise UsageError("port", f"must be at most 65535, not {self.port}", "Leave it out.")
        if self.token is not None and (len(self.token) < _MIN_TOKEN or not self.token.isascii() or " " in self.token):
            rule = f"must be {_MIN_TOKEN} or more ASCII characters without spaces"
            raise UsageError("token", rule, f"For instance: --token {secrets.token_urlsafe(24)}")
        if not self.token and not is_loopback(self.host):
            rule = f"{self.host} is reachable from other machines, which needs a token"
            raise UsageError("host", rule, f"For instance: --token {secrets.token_urlsafe(24)}")
        if self.keep_images and self.keep is None:
            raise UsageError("keep-images", "needs a history to keep them in", "Give --keep FOLDER as well.")

    @property
    def limits(self) -> Limits:
        """What is decoded at all."""
        return Limits(max_pixels=self.megapixels * 1_000_000, max_bytes=self.upload_mb * MIB)
