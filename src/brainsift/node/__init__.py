"""A node in an imaging network: it receives DICOM series, scores them, and sends the results to archives.

Modules: settings, journal, event_log, intake, receiver.
May import: core, images, volumes, inference, serve, serve.http.
"""
