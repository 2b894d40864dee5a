"""Which addresses lead back to this machine; the client needs this too, so it uses the standard library alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Returns whether an address can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("192.168.1.7")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
