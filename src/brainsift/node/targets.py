"""Where results go: C-STORE with C-FIND and storage commitment, or STOW-RS with QIDO-RS."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brainsift.core.errors import UsageError
from brainsift.node.commitments import COMMITMENT, COMMITMENT_INSTANCE, Commitments
from brainsift.node.delivery import DeliveryError
from brainsift.node.dicomweb import DicomWeb
from brainsift.node.event_log import log_event
from brainsift.node.receiver import client_context
from brainsift.node.settings import Dicom, Target

_CONNECT_S, _REPLY_S, _COMMIT_S = 10.0, 120.0, 60.0
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_EXPLICIT = "1.2.840.10008.1.2.1"
_VERIFICATION = "1.2.840.10008.1.1"
_PENDING = (0xFF00, 0xFF01)
_REJECTED_FOR_GOOD = 1
UNANSWERED = "closed the connection without a reply"


@dataclass(frozen=True)
class Parcel:
    """One file to deliver, and what names it to the target.

    Attributes:
        path: of the file.
        sop_class: its SOPClassUID.
        uid: its SOPInstanceUID.
        study: its StudyInstanceUID.
        series: its SeriesInstanceUID.
    """

    path: Path
    sop_class: str
    uid: str
    study: str
    series: str

    @classmethod
    def of(cls, path: Path) -> "Parcel":
        """Reads what names a file."""
        from pydicom import dcmread

        tags = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
        header = dcmread(path, stop_before_pixels=True, specific_tags=tags)
        return cls(path, *(str(header[tag].value) for tag in tags))


class Partner(Protocol):
    """A target that can be used; each method raises `DeliveryError`."""

    def check(self) -> None:
        """Sees whether it is there."""

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """Sends files, and verifies that they are there as far as the target offers that."""

    def count(self, study: str, series: str) -> int | None:
        """Returns how many images a series has there; None where it does not say."""


class DicomTarget:
    """A target that is reached by DIMSE.

    Args:
        settings: of the target.
        own: titles of this node.
        commitments: where replies to requests for storage commitment come.
    """

    def __init__(self, settings: Target, own: Dicom, commitments: Commitments) -> None:
        self._settings, self._own, self._commitments = settings, own, commitments
        self._context: ssl.SSLContext | None = client_context(settings.tls) if settings.tls else None

    def check(self) -> None:
        """Sends C-ECHO."""
        with self._association([_VERIFICATION]) as association:
            _status(association.send_c_echo(), "C-ECHO")

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """Sends by C-STORE; asks for them by C-FIND, and for storage commitment, where both sides offer that."""
        with self._association([parcel.sop_class for parcel in parcels]) as association:
            accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
            for parcel in parcels:
                if parcel.sop_class in accepted:
                    _status(association.send_c_store(parcel.path), "C-STORE")
        if refused := sorted({one.sop_class for one in parcels} - accepted):
            raise DeliveryError(f"does not take objects of the class {', '.join(refused)}", permanent=True)
        if self._settings.verify:
            self._verify(parcels)
        if self._settings.commit:
            self._commit(parcels)

    def count(self, study: str, series: str) -> int | None:
        """Asks by C-FIND."""
        wanted = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "NumberOfSeriesRelatedInstances": None}
        with self._association([_FIND]) as association:
            for found in self._find(association, "SERIES", wanted):
                if found.get("NumberOfSeriesRelatedInstances") is not None:
                    return int(found.NumberOfSeriesRelatedInstances)
        return None

    def _verify(self, parcels: Sequence[Parcel]) -> None:
        with self._association([_FIND], optional=True) as association:
            if association is None:
                return
            for one in parcels:
                wanted = {
                    "StudyInstanceUID": one.study,
                    "SeriesInstanceUID": one.series,
                    "SOPInstanceUID": one.uid,
                }
                if not self._find(association, "IMAGE", wanted):
                    raise DeliveryError("took an object, but does not find it", permanent=False)

    def _find(self, association: Any, level: str, wanted: dict[str, Any]) -> list[Any]:
        from pydicom import Dataset

        query = Dataset()
        query.QueryRetrieveLevel = level
        for tag, value in wanted.items():
            setattr(query, tag, value)
        found = []
        for status, identifier in association.send_c_find(query, _FIND):
            if status and status.Status in _PENDING:
                found += [identifier] if identifier is not None else []
            else:
                _status(status, "C-FIND")
        return found

    def _commit(self, parcels: Sequence[Parcel]) -> None:
        from pydicom import Dataset
        from pydicom.uid import generate_uid

        request = Dataset()
        request.TransactionUID = generate_uid()
        request.ReferencedSOPSequence = []
        for one in parcels:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.uid
            request.ReferencedSOPSequence.append(item)
        with self._association([COMMITMENT], optional=True) as association:
            if association is None:
                return
            status, _ = association.send_n_action(request, 1, COMMITMENT, COMMITMENT_INSTANCE)
            _status(status, "N-ACTION")
            # The reply comes over this association, or over one that the target opens.
            failed = self._commitments.wait(str(request.TransactionUID), _COMMIT_S)
        if failed is None:
            raise DeliveryError("did not reply to the request for storage commitment", permanent=False)
        if failed:
            raise DeliveryError(f"does not commit to store {len(failed)} objects", permanent=False)
        log_event("storage committed", target=self._settings.name, objects=len(parcels))

    @contextmanager
    def _association(self, classes: Sequence[str], *, optional: bool = False) -> Iterator[Any]:
        """Opens an association; yields None where it is optional and the target does not offer the class."""
        from pynetdicom import AE, evt

        connected: list[bool] = []
        entity = AE(ae_title=self._own.ae_title)
        entity.connection_timeout, entity.acse_timeout = _CONNECT_S, _CONNECT_S
        entity.dimse_timeout = entity.network_timeout = _REPLY_S
        for sop_class in dict.fromkeys(classes):
            entity.add_requested_context(sop_class, _EXPLICIT)
            if sop_class in (_FIND, _VERIFICATION, COMMITMENT):
                entity.requested_contexts[-1].add_transfer_syntax("1.2.840.10008.1.2")
        association = entity.associate(
            self._settings.host,
            self._settings.port,
            ae_title=self._settings.ae_title,
            tls_args=(self._context, self._settings.host) if self._context else None,
            evt_handlers=[
                (evt.EVT_N_EVENT_REPORT, self._commitments.put),
                (evt.EVT_CONN_OPEN, lambda _: connected.append(True)),
            ],
        )
        if not association.is_established:
            if association.rejected_contexts and not association.accepted_contexts and not association.is_rejected:
                if optional:
                    yield None
                    return
                raise DeliveryError("takes none of these objects", permanent=True)
            if association.is_rejected:
                reply = association.acceptor.primitive
                permanent = reply is not None and reply.result == _REJECTED_FOR_GOOD
                raise DeliveryError("rejected the association: check the AE titles", permanent=permanent)
            # Where the target closes the connection right after it, a rejection can get lost: the next attempt tells.
            raise DeliveryError(UNANSWERED if connected else "cannot be reached", permanent=False)
        try:
            yield association
        finally:
            association.release()


class WebTarget:
    """A target that is reached by DICOMweb."""

    def __init__(self, settings: Target) -> None:
        self._settings, self._service = settings, web_service(settings)

    def check(self) -> None:
        """Searches for a study."""
        self._service.check()

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """Sends by STOW-RS; asks for them by QIDO-RS."""
        self._service.store([one.path for one in parcels], [one.uid for one in parcels])
        if self._settings.verify:
            for one in parcels:
                try:
                    held = self._service.holds(one.study, one.uid)
                except DeliveryError as error:
                    if error.permanent:  # it does not offer QIDO-RS
                        return
                    raise
                if not held:
                    raise DeliveryError("took an object, but does not find it", permanent=False)

    def count(self, study: str, series: str) -> int | None:
        """Asks by QIDO-RS."""
        return self._service.count(study, series)


def web_service(settings: Any) -> DicomWeb:
    """Returns the client for the settings of a target or of an archive to pull from."""
    try:
        return DicomWeb(
            settings.url,
            token_variable=settings.token_variable,
            user=settings.user,
            password_variable=settings.password_variable,
            authority=settings.authority,
        )
    except (ssl.SSLError, OSError):
        raise UsageError("authority", f"{settings.authority} cannot be used", "Name a PEM file.") from None


def open_target(settings: Target, own: Dicom, commitments: Commitments) -> Partner:
    """Returns what delivers to a target."""
    return WebTarget(settings) if settings.kind == "web" else DicomTarget(settings, own, commitments)


def _status(reply: Any, what: str) -> None:
    """Refuses a status that is no success; a warning is one."""
    if not reply or "Status" not in reply:
        raise DeliveryError(f"ended the connection during {what}", permanent=False)
    status = int(reply.Status)
    if status == 0 or status >> 12 == 0xB or status == 0x0001:
        return
    permanent = not (status >> 8 == 0xA7 or status == 0x0110)
    raise DeliveryError(f"replied to {what} with status {status:04X}", permanent=permanent)
