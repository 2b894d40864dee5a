"""A node in an imaging network: it receives DICOM series, scores them, and sends the results to archives.

Modules: settings, journal, event_log, intake, receiver, choice, worker, page_record, delivery,
dicomweb, commitments, targets, outbox, figures, doors, web_door, node.
May import: core, images, volumes, inference, dicom_results, serve, serve.history, serve.http.
"""
