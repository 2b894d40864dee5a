"""The settings of `brainsift node`: one TOML file, checked as a whole before anything listens."""

import dataclasses
import ipaddress
import os
import re
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from brainsift.core.errors import InputError, UsageError, in_one_line
from brainsift.serve.loopback import is_loopback

_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # DICOM PS3.5, 6.2: AE, no backslash and no control characters
_MIN_TOKEN = 16


class _WrongError(Exception):
    """A value that breaks a rule; `read_settings` adds the file and the table.

    Args:
        name: of the setting.
        rule: that was broken, with the value received.
        remedy: what to do about it.
    """

    def __init__(self, name: str, rule: str, remedy: str) -> None:
        super().__init__(name, rule, remedy)
        self.name, self.rule, self.remedy = name, rule, remedy


@dataclass(frozen=True)
class Tls:
    """Files for encrypted connections, PEM; both sides show a certificate.

    Attributes:
        certificate: of this node, followed by those between it and its authority.
        key: of the certificate.
        authority: certificates of those who may sign the certificates of others.
    """

    certificate: Path
    key: Path
    authority: Path

    def check(self) -> None:
        """Refuses files that cannot be read."""
        for one in dataclasses.fields(self):
            path = getattr(self, one.name)
            if not os.access(path, os.R_OK):
                raise _WrongError(one.name, f"{path} cannot be read", "Name a PEM file that this user may read.")


@dataclass(frozen=True)
class Dicom:
    """Table [dicom]: the DICOM service.

    Attributes:
        ae_title: of this node.
        host: address to listen on.
        port: port to listen on; 0 takes any free one.
        callers: AE titles that may open an association; empty: any.
        addresses: addresses or networks, such as 10.1.0.0/16, that may connect; empty: any.
        associations: largest number at the same time.
        object_mb: largest object, MiB.
        tls: files for encrypted connections; without them nothing is encrypted.
        open_network: accept any caller without encryption from other machines.
    """

    ae_title: str = "BRAINSIFT"
    host: str = "127.0.0.1"
    port: int = 11112
    callers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    associations: int = 10
    object_mb: int = 512
    tls: Tls | None = None
    open_network: bool = False

    def check(self) -> None:
        """Refuses impossible values, and an address that anyone may reach unless that is wanted."""
        for name, titles in (("ae_title", (self.ae_title,)), ("callers", self.callers)):
            for title in titles:
                _check_title(name, title)
        for address in self.addresses:
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise _WrongError("addresses", f"{address!r} is no network", "Write 10.1.0.0/16 or 10.1.2.3.") from None
        _check_range(self, port=(0, 65535), associations=(1, 1000), object_mb=(1, 4096))
        if not (is_loopback(self.host) or self.callers or self.tls or self.open_network):
            rule = f"{self.host} can be reached from other machines, and any caller would be accepted"
            raise _WrongError(
                "host", rule, "Name the AE titles in `callers`, set [dicom.tls], or write open_network = true."
            )


@dataclass(frozen=True)
class Web:
    """Table [web]: health, metrics, and objects by DICOMweb; without the table there is no such service.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 takes any free one.
        token: secret that every request but /healthz and /readyz has to send as `Authorization: Bearer`.
        token_variable: environment variable that holds the token, in place of `token`.
        store: accept objects by STOW-RS at /dicom-web/studies.
        request_mb: largest request, MiB.
    """

    host: str = "127.0.0.1"
    port: int = 8766
    token: str = ""
    token_variable: str = ""
    store: bool = False
    request_mb: int = 1024

    @property
    def secret(self) -> str:
        """The token, from wherever it comes."""
        return self.token or os.environ.get(self.token_variable, "")

    def check(self) -> None:
        """Refuses impossible values, and an address of the network without a token."""
        _check_range(self, port=(0, 65535), request_mb=(1, 65536))
        if self.token_variable and not self.secret:
            raise _WrongError("token_variable", f"the variable {self.token_variable} is not set", "Set it.")
        if self.secret and (len(self.secret) < _MIN_TOKEN or not self.secret.isascii() or " " in self.secret):
            rule = f"must be {_MIN_TOKEN} or more ASCII characters without spaces"
            raise _WrongError("token", rule, "Make one: openssl rand -hex 24")
        if not self.secret and not is_loopback(self.host):
            rule = f"{self.host} can be reached from other machines, so a token is needed"
            raise _WrongError("host", rule, "Set `token` or `token_variable`, or listen on 127.0.0.1.")


@dataclass(frozen=True)
class Watch:
    """Table [watch]: a folder whose DICOM files are taken in and then removed.

    Attributes:
        folder: is walked; other programs put files there under a name that ends in .part, and rename them.
        every_s: seconds between two looks.
        settle_s: a file is taken when it was not changed for so long, seconds.
    """

    folder: Path
    every_s: float = 5.0
    settle_s: float = 5.0

    def check(self) -> None:
        """Refuses impossible values."""
        _check_range(self, every_s=(0.1, 86_400), settle_s=(0, 86_400))
        if not (self.folder.is_dir() and os.access(self.folder, os.R_OK | os.W_OK)):
            raise _WrongError("folder", f"{self.folder} is no folder that can be read and written", "Make it first.")


@dataclass(frozen=True)
class Pull:
    """Table [[pull]]: series that are fetched from an archive by QIDO-RS and WADO-RS.

    Attributes:
        url: root of the archive's DICOMweb service.
        query: parameters of the query for series, such as StudyDate = "today".
        every_s: seconds between two queries.
        token_variable: environment variable with a bearer token.
        user: name for the archive.
        password_variable: environment variable with the password of `user`.
        authority: PEM file with the authority of the archive's certificate; by default those of this system.
    """

    url: str
    query: dict[str, str] = field(default_factory=dict)
    every_s: float = 300.0
    token_variable: str = ""
    user: str = ""
    password_variable: str = ""
    authority: Path | None = None

    def check(self) -> None:
        """Refuses impossible values."""
        _check_url(self)
        _check_range(self, every_s=(0.1, 86_400))


@dataclass(frozen=True)
class Series:
    """Table [series]: when a series is complete.

    Attributes:
        quiet_s: seconds without a new image, and without an open association that sent some.
        force_s: seconds from the first new image after which it is scored in any case; the result says so.
        count_from: name of a target that is asked how many images the series has; it is scored when all are here.
    """

    quiet_s: float = 60.0
    force_s: float = 5400.0
    count_from: str = ""

    def check(self) -> None:
        """Refuses impossible values."""
        _check_range(self, quiet_s=(0.1, 86_400), force_s=(0.1, 604_800))
        if self.force_s < self.quiet_s:
            raise _WrongError("force_s", f"{self.force_s} is less than quiet_s", "Write a longer time.")


@dataclass(frozen=True)
class Network:
    """Table [network]: how series are scored.

    Attributes:
        bundle: folder of a model bundle; without it the one in the package.
        threshold: name of the operating point; without it `brainsift predict`'s.
        threads: threads that decode and score; 0 for all cores but one.
    """

    bundle: Path | None = None
    threshold: str = ""
    threads: int = 0

    def check(self) -> None:
        """Refuses impossible values."""
        _check_range(self, threads=(0, 1024))


@dataclass(frozen=True)
class Results:
    """Table [results]: what is made for a series, beside the structured report.

    Attributes:
        segmentation: the tumor map as a binary segmentation.
        secondary_capture: pictures of the most suspicious slices.
        fractional: the tumor map as a fractional segmentation.
        pdf: a report as encapsulated PDF.
    """

    segmentation: bool = True
    secondary_capture: bool = True
    fractional: bool = False
    pdf: bool = False

    def check(self) -> None:
        """Accepts any."""


@dataclass(frozen=True)
class Target:
    """Table [[targets]]: where results are sent.

    Attributes:
        name: how it is called in `status`, logs and metrics.
        kind: "dicom" for C-STORE, "web" for STOW-RS.
        host: address, for "dicom".
        port: port, for "dicom".
        ae_title: of the target, for "dicom".
        tls: files for encrypted connections, for "dicom".
        commit: ask for storage commitment, for "dicom".
        url: root of its DICOMweb service, for "web".
        token_variable: environment variable with a bearer token, for "web".
        user: name for the target, for "web".
        password_variable: environment variable with the password of `user`, for "web".
        authority: PEM file with the authority of the target's certificate, for "web".
        verify: after sending, ask whether the objects are there, by C-FIND or QIDO-RS.
    """

    name: str
    kind: Literal["dicom", "web"] = "dicom"
    host: str = "127.0.0.1"
    port: int = 104
    ae_title: str = ""
    tls: Tls | None = None
    commit: bool = False
    url: str = ""
    token_variable: str = ""
    user: str = ""
    password_variable: str = ""
    authority: Path | None = None
    verify: bool = True

    def check(self) -> None:
        """Refuses impossible values."""
        if not re.fullmatch(r"[\w-]{1,32}", self.name):
            raise _WrongError("name", f"{self.name!r} is no name", "Use up to 32 letters, digits, - and _.")
        if self.kind == "web":
            _check_url(self)
            if self.commit:
                raise _WrongError("commit", "is part of DIMSE, and this target is of kind `web`", "Leave it out.")
        else:
            _check_title("ae_title", self.ae_title)
            _check_range(self, port=(1, 65535))


@dataclass(frozen=True)
class Keep:
    """Table [keep]: how long files stay, and the room on the disk.

    Attributes:
        source_hours: hours from the end of the work on a series until its images are removed.
        result_days: days from the end of the work on a series until its results are removed here.
        reserve_mb: below so much free space nothing is accepted, MiB.
        history: folder of a history; its page shows each series, see `brainsift serve --keep`.
        history_images: keep the pictures in the history as well.
    """

    source_hours: float = 24.0
    result_days: float = 30.0
    reserve_mb: int = 1024
    history: Path | None = None
    history_images: bool = True

    def check(self) -> None:
        """Refuses impossible values."""
        _check_range(self, source_hours=(0, 876_000), result_days=(0, 36_500), reserve_mb=(0, 2**40))


@dataclass(frozen=True)
class Settings:
    """All settings of a node.

    Attributes:
        folder: with the journal, the images and the results; made where it is missing.
        dicom: the DICOM service.
        web: health, metrics and DICOMweb; None without.
        watch: a watched folder; None without.
        pull: archives that are asked for series.
        series: when a series is complete.
        network: how series are scored.
        results: what is made.
        targets: where results are sent.
        keep: how long files stay.
    """

    folder: Path
    dicom: Dicom = Dicom()
    web: Web | None = None
    watch: Watch | None = None
    pull: tuple[Pull, ...] = ()
    series: Series = Series()
    network: Network = Network()
    results: Results = Results()
    targets: tuple[Target, ...] = ()
    keep: Keep = Keep()

    def check(self) -> None:
        """Refuses what does not fit together."""
        names = [one.name for one in self.targets]
        if len(set(names)) < len(names):
            raise _WrongError("targets", "two have the same name", "Give each its own `name`.")
        if self.series.count_from and self.series.count_from not in names:
            raise _WrongError(
                "series.count_from", f"{self.series.count_from!r} is no target", "Name one of [[targets]]."
            )


def read_settings(path: Path) -> Settings:
    """Reads and checks the file; relative paths start at its folder.

    Raises:
        InputError: it is missing or no TOML.
        UsageError: an unknown, missing or impossible setting.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, error.strerror or "cannot be read", "Check the path.") from None
    except ValueError as error:  # of the decoder of bytes or of TOML
        raise InputError(path, f"is no valid TOML: {in_one_line(error)}", "See docs/reference/node.md.") from None
    return _record(Settings, values, path, "")


def _record(kind: type[Any], values: Any, file: Path, place: str) -> Any:
    """Builds one table."""
    where = f"{file}, [{place}]" if place else str(file)
    if not isinstance(values, dict):
        raise UsageError(where, "must be a table", f"Write [{place}], and its settings below.")
    known = {one.name: one for one in dataclasses.fields(kind)}
    for name in values:
        if name not in known:
            raise UsageError(where, f"has no setting `{name}`", f"It may have: {', '.join(known)}.")
    hints, built = typing.get_type_hints(kind), {}
    for name, one in known.items():
        if name in values:
            built[name] = _value(hints[name], values[name], file, f"{place}.{name}".lstrip("."))
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise UsageError(where, f"needs `{name}`", "See docs/reference/node.md.")
    record = kind(**built)
    try:
        record.check()
    except _WrongError as wrong:
        raise UsageError(f"{where}, {wrong.name}", wrong.rule, wrong.remedy) from None
    return record


def _value(hint: Any, value: Any, file: Path, place: str) -> Any:  # noqa: PLR0911
    """Returns a value in the type of its setting."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint), value, file, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, file, place) for item in value)
    if origin is dict and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    if origin is Literal and value in inner:
        return value
    if hint is Path and isinstance(value, str) and value:
        return file.absolute().parent / Path(value).expanduser()
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (str, int, bool) and type(value) is hint:
        return value
    wanted = {
        tuple: "a list in [ ]",
        dict: "a table of texts",
        Literal: " or ".join(f'"{one}"' for one in inner),
        Path: "a path in quotes",
        float: "a number",
        int: "a whole number",
        bool: "true or false",
    }.get(origin or hint, "a text in quotes")
    raise UsageError(f"{file}, {place}", f"must be {wanted}, not {value!r}", "See docs/reference/node.md.")


def _check_title(name: str, title: str) -> None:
    if not _TITLE.fullmatch(title) or title != title.strip():
        raise _WrongError(
            name, f"{title!r} is no AE title", "Use 1 to 16 ASCII characters, no \\ and no space at the ends."
        )


def _check_range(record: Any, **ranges: tuple[float, float]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(record, name)
        if not low <= value <= high:
            raise _WrongError(name, f"must be {low} to {high}, not {value}", "Write a number in this range.")


def _check_url(record: Any) -> None:
    parts = urlsplit(record.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        rule = "must be an http or https address without user, query and fragment"
        raise _WrongError("url", rule, 'Write url = "https://pacs.example/dicom-web".')
    secret = record.token_variable or record.password_variable
    if secret and secret not in os.environ:
        raise _WrongError("token_variable", f"the variable {secret} is not set", "Set it.")
    if secret and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _WrongError("url", "would send the secret without encryption", "Use https.")
    if bool(record.user) != bool(record.password_variable):
        raise _WrongError("user", "and password_variable are needed together", "Set both, or neither.")
