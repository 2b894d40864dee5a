"""Which addresses lead back to this machine; the client asks this as well, with the standard library alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tells whether an address is reachable from this machine only.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("192.168.1.7")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
