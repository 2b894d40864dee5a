"""The DICOM service of a node: C-STORE and C-ECHO, with titles, addresses, limits and certificates."""

import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from brainsift.core.errors import BrainsiftError, RefusedObjectError, UsageError, in_one_line
from brainsift.node.commitments import COMMITMENT, Commitments
from brainsift.node.event_log import log_event
from brainsift.node.intake import ACCEPTED, NOT_READ, Intake, readable_syntaxes
from brainsift.node.settings import Dicom, Tls

_HANDSHAKE_S = 10.0
_IDLE_S = 120.0  # without a message, after which an association ends
_NOT_AUTHORISED, _FAILED = 0x0124, 0x0110  # processing failure, PS3.7, annex C
_PDU_BYTES = 131_072


class Receiver:
    """Listens for associations from when it is made until `stop`.

    Args:
        settings: titles, addresses, limits.
        intake: gets the objects.
        count: is called with the outcome of each object: "new", "known", "changed" or "refused".
        commitments: gets replies to requests for storage commitment; None takes none.

    Raises:
        UsageError: the address is not one of this machine, or the port is taken.
    """

    def __init__(
        self,
        settings: Dicom,
        intake: Intake,
        *,
        count: Callable[[str], None] = lambda outcome: None,
        commitments: Commitments | None = None,
    ) -> None:
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

        self._settings, self._intake, self._count = settings, intake, count
        self._networks = [ipaddress.ip_network(one) for one in settings.addresses]
        self._sending: dict[Any, set[str]] = {}
        self._lock = threading.Lock()
        entity = AE(ae_title=settings.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(settings.callers)
        entity.maximum_associations = settings.associations
        entity.maximum_pdu_size = _PDU_BYTES
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = _IDLE_S
        entity.add_supported_context(Verification)
        syntaxes = readable_syntaxes()
        for sop_class in ACCEPTED:
            entity.add_supported_context(sop_class, syntaxes)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_REJECTED, self._rejected),
        ]
        if commitments:
            # Whoever replies is the one that stores, and asks for that role when it opens the association.
            entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
            handlers.append((evt.EVT_N_EVENT_REPORT, commitments.put))
        try:
            server: Any = entity.start_server(
                (settings.host, settings.port),
                block=False,
                ssl_context=server_context(settings.tls) if settings.tls else None,
                evt_handlers=handlers,
            )
        except OSError as error:
            rule = f"cannot listen on {settings.host}:{settings.port}: {error.strerror or in_one_line(error)}"
            raise UsageError("[dicom] port", rule, "Choose another, or stop what listens there.") from None
        server.verify_request = self._may_connect
        server.handle_error = lambda request, address: log_event("a connection failed", level=logging.WARNING)
        self._server, self.entity = server, entity

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.socket.getsockname()[1])

    def sending(self) -> set[str]:
        """Returns the names of the series of which an open association has sent images."""
        with self._lock:
            # Not by the event of a closed connection: an image that came just before may be stored after it.
            self._sending = {caller: series for caller, series in self._sending.items() if caller.is_alive()}
            return set().union(*self._sending.values())

    def stop(self) -> None:
        """Takes no more associations; ends those that are open."""
        self.entity.shutdown()

    def _may_connect(self, request: Any, address: tuple[str, int]) -> bool:
        # Of an IPv4 address on a socket for IPv6, the address that the networks are written in.
        found = ipaddress.ip_address(address[0])
        found = getattr(found, "ipv4_mapped", None) or found
        if not self._networks or any(found in network for network in self._networks):
            return True
        log_event("connection refused", level=logging.WARNING, why="its address is not in `addresses`")
        return False

    def _store(self, event: Any) -> int:
        request = event.request
        if event.assoc.requestor.ae_title.strip() == self._settings.ae_title:
            self._count("refused")
            log_event("object refused", level=logging.WARNING, why="its sender has the AE title of this node")
            return _NOT_AUTHORISED
        try:
            # Not `event.dataset`: decoding and encoding it again would change what was sent, and take more memory.
            taken = self._intake.take(
                event.encoded_dataset(), door="dicom", expected=str(request.AffectedSOPInstanceUID)
            )
        except RefusedObjectError as error:
            self._count("refused")
            log_event("object refused", level=logging.WARNING, why=error.rule, status=f"{error.status:04X}")
            return error.status
        except BrainsiftError as error:
            self._count("refused")
            log_event("object not recorded", level=logging.ERROR, error=error)
            return _FAILED
        except Exception as error:  # whatever pydicom raises on what others send
            self._count("refused")
            log_event("object not read", level=logging.ERROR, error=error)
            return NOT_READ
        with self._lock:
            self._sending.setdefault(event.assoc, set()).add(taken.series)
        self._count(taken.arrival)
        return 0x0000

    def _rejected(self, event: Any) -> None:
        log_event("association rejected", level=logging.WARNING)


class _Patient(ssl.SSLContext):
    """A context whose handshake as a server ends in time: pynetdicom waits for it before it accepts others."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Wraps a socket, within ten seconds."""
        sock.settimeout(_HANDSHAKE_S)
        wrapped = super().wrap_socket(sock, *arguments, **options)
        wrapped.settimeout(None)
        return wrapped


def server_context(tls: Tls) -> ssl.SSLContext:
    """Returns the context of a server that asks each caller for a certificate.

    Raises:
        UsageError: the files cannot be used.
    """
    return _loaded(_Patient(ssl.PROTOCOL_TLS_SERVER), tls)


def client_context(tls: Tls) -> ssl.SSLContext:
    """Returns the context of a client that shows its certificate; raises as `server_context` does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _loaded(context, tls)


def _loaded(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.authority)
    except (ssl.SSLError, OSError) as error:
        raise UsageError("tls", f"the files cannot be used: {in_one_line(error)}", "Name PEM files.") from None
    context.verify_mode = ssl.CERT_REQUIRED
    return context
