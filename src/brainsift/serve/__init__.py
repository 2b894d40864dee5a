"""Web page and REST service over `predict`; needs no torch."""
