"""One tree of errors; each knows its exit code and its HTTP status.

BrainsiftError
├── UsageError             wrong argument or option            exit 2, HTTP 400
├── MissingExtraError      a package of an extra is not there  exit 2, HTTP 501
├── InputError             something the user handed over      exit 3, HTTP 422
│   ├── UnreadableImageError   not an image, or a broken one
│   ├── ImageSizeError         beyond the stated limits
│   ├── SourceError            a folder or list without the expected layout
│   ├── ManifestError          a manifest that breaks its contract
│   └── BundleError            altered, or made for another version
├── DownloadError          no network, or a refusal            exit 4, HTTP 502
├── RunError               a run folder that cannot be used    exit 5, HTTP 409
├── HistoryError           a history that cannot be used       exit 5, HTTP 500
├── NodeError              a node's journal, or its network    exit 5, HTTP 500
│   └── RefusedObjectError     an object that it does not take in
└── ServeError             the service failed                  exit 4, HTTP 500
    ├── AuthError              no token, or a wrong one            exit 4, HTTP 401
    ├── ForbiddenError         from a page of another site         exit 4, HTTP 403
    ├── NotFoundError          nothing at this address             exit 4, HTTP 404
    ├── MethodError            another method is meant             exit 4, HTTP 405
    ├── PendingError           not done yet                        exit 4, HTTP 409
    ├── UploadError            larger than the limits allow        exit 4, HTTP 413
    ├── MediaTypeError         a body of a type not read here      exit 4, HTTP 415
    ├── BusyError              too much is waiting                 exit 4, HTTP 429
    ├── UnavailableError       starting, or stopping               exit 4, HTTP 503
    └── SlowError              took longer than allowed            exit 4, HTTP 504
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from brainsift.core.reasons import Reason


class BrainsiftError(Exception):
    """Base of all errors that brainsift raises on purpose.

    Args:
        subject: what it is about: a file, an argument, a folder.
        rule: the rule that was broken, with the value received.
        remedy: what to do about it.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, subject: object, rule: str, remedy: str) -> None:
        self.subject = str(subject)
        self.rule = rule
        self.remedy = remedy
        super().__init__(f"{self.subject}: {rule}. {remedy}")

    def __reduce__(self) -> tuple[type["BrainsiftError"], tuple[str, str, str], dict[str, Any]]:
        """Lets an error travel between processes, with all that it carries."""
        return type(self), (self.subject, self.rule, self.remedy), vars(self)

    def to_dict(self) -> dict[str, str]:
        """Returns the one JSON shape that every error takes."""
        return {
            "code": self.code,
            "subject": self.subject,
            "rule": self.rule,
            "remedy": self.remedy,
        }


def on_one_line(text: str) -> str:
    r"""Returns a text from a file or another library, printable and on one line.

    >>> on_one_line("two\r\nlines \x1b[31m")
    'two lines [31m'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def in_one_line(error: BaseException) -> str:
    """Returns what another library's error says, printable and on one line; its type where it says nothing."""
    return on_one_line(str(error)) or type(error).__name__


class UsageError(BrainsiftError):
    """A wrong argument or option."""

    code = "usage"
    exit_code = 2
    http_status = 400


class MissingExtraError(BrainsiftError):
    """A package is missing that an extra of brainsift installs."""

    code = "missing_extra"
    exit_code = 2
    http_status = 501

    @classmethod
    def of(cls, subject: object, package: str, extra: str) -> "MissingExtraError":
        """Returns the error for a package that an extra of brainsift would bring."""
        remedy = f"Run `pip install 'brainsift[{extra}]'`, or `pip install '.[{extra}]'` in the folder of the source."
        return cls(subject, f"needs the package {package}, which is not installed", remedy)


class InputError(BrainsiftError):
    """Something that the user handed over cannot be used.

    Args:
        subject: as for all errors.
        rule: as for all errors.
        remedy: as for all errors.
        reason: the code of why an image is unreadable, for a prediction; that of the class by default.

    Attributes:
        reason: the code of why an image is unreadable.
    """

    code = "input"
    exit_code = 3
    http_status = 422
    reason: Reason = Reason.BROKEN_FILE

    def __init__(self, subject: object, rule: str, remedy: str, *, reason: Reason | None = None) -> None:
        super().__init__(subject, rule, remedy)
        if reason is not None:
            self.reason = reason


class UnreadableImageError(InputError):
    """A file that is no image, or a broken one."""

    code = "unreadable_image"


class ImageSizeError(InputError):
    """An image beyond the stated limits."""

    code = "image_size"
    reason = Reason.OUTSIDE_LIMITS


class SourceError(InputError):
    """A folder or list without the layout of its source."""

    code = "source"


class ManifestError(InputError):
    """A manifest that breaks its contract."""

    code = "manifest"


class BundleError(InputError):
    """A bundle that was altered, or made for another version."""

    code = "bundle"


class DownloadError(BrainsiftError):
    """A download that did not happen."""

    code = "download"
    exit_code = 4
    http_status = 502


class RunError(BrainsiftError):
    """A run folder that cannot be used."""

    code = "run"
    exit_code = 5
    http_status = 409


class HistoryError(BrainsiftError):
    """A history of scored images that cannot be opened, read or written."""

    code = "history"
    exit_code = 5
    http_status = 500


class NodeError(BrainsiftError):
    """A node's journal that cannot be used, or a partner in the network that does not do what it should."""

    code = "node"
    exit_code = 5
    http_status = 500


class RefusedObjectError(NodeError):
    """A DICOM object that a node does not take in.

    Args:
        subject: as for all errors.
        rule: as for all errors.
        remedy: as for all errors.
        status: of the reply by C-STORE or STOW-RS; "cannot understand" by default.
    """

    code = "refused_object"

    def __init__(self, subject: object, rule: str, remedy: str, *, status: int = 0xC000) -> None:
        super().__init__(subject, rule, remedy)
        self.status = status


class ServeError(BrainsiftError):
    """The service failed; what it refuses has kinds of its own."""

    code = "internal"
    exit_code = 4


class AuthError(ServeError):
    """A request without the token, or with a wrong one."""

    code = "unauthorized"
    http_status = 401


class ForbiddenError(ServeError):
    """A request that a page of another site made, or for a host name that is not the service's."""

    code = "forbidden"
    http_status = 403


class NotFoundError(ServeError):
    """Nothing at this address."""

    code = "not_found"
    http_status = 404


class MethodError(ServeError):
    """An address that takes other methods."""

    code = "method"
    http_status = 405


class PendingError(ServeError):
    """Something that is not done yet."""

    code = "pending"
    http_status = 409


class UploadError(ServeError):
    """An upload beyond the stated limits."""

    code = "too_large"
    http_status = 413


class MediaTypeError(ServeError):
    """A body of a type that is not read here."""

    code = "media_type"
    http_status = 415


class BusyError(ServeError):
    """Too much is waiting; it is worth asking again later.

    Attributes:
        wait_s: seconds until then.
    """

    code = "busy"
    http_status = 429
    wait_s: int = 1


class UnavailableError(ServeError):
    """The service starts or stops."""

    code = "unavailable"
    http_status = 503


class SlowError(ServeError):
    """A request that took longer than allowed."""

    code = "timeout"
    http_status = 504


def from_dict(told: Mapping[str, Any]) -> BrainsiftError:
    """Makes an error of what `to_dict` returned; of an unknown code a `ServeError`.

    >>> from_dict({"code": "busy", "subject": "queue", "rule": "is full", "remedy": "Wait."})
    BusyError('queue: is full. Wait.')
    """
    kinds = {kind.code: kind for kind in _kinds(BrainsiftError)}
    words = (str(told.get(name, "")) for name in ("subject", "rule", "remedy"))
    return kinds.get(str(told.get("code")), ServeError)(*words)


def _kinds(root: type[BrainsiftError]) -> Iterator[type[BrainsiftError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)
