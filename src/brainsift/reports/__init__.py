"""Galleries, tables and HTML reports of audits, searches, studies and doubtful labels.

Modules: write, sections, audit_page, study_page, search_page, review_page, galleries, markdown.
May import: core, images, pages, datasets, stats, charts, training, auditing, evaluation, studies.
"""
