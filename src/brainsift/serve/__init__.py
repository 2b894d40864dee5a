"""The web page and the REST service, on this machine.

Modules: config, schemas, loopback, prometheus.
May import: core, images, volumes, inference.
"""
