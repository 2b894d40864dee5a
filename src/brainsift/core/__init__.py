"""What every part of brainsift needs: errors, labels, files written whole or not at all, words for people.

Modules: errors, reasons, labels, files, records, walk, progress, shares,
environment, parallel, text, warned.
May import: nothing of brainsift.
"""
