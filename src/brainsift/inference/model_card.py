"""A bundle's model card, from its own figures, along the headings of CLAIM and TRIPOD+AI."""

from collections.abc import Sequence
from itertools import groupby

from brainsift.core.text import cell, markdown_table, shown
from brainsift.inference.bundle import Bundle
from brainsift.inference.provenance import DataCount, KindFigures, Provenance, SiteScores, VolumeScores
from brainsift.stats.scores import MapScores

_INTENDED = """Research and teaching: to sort brain MRI slices that are stored as pictures, to study datasets, as a
starting point for one's own work. The result is one of *tumor*, *no tumor*, *refer* (a human decides), with a
calibrated probability and a map of where the tumor is seen."""
_NOT = """Not a medical device. Not for diagnosis, triage or treatment, not for children, not after surgery or
radiation, not for strokes, bleeds, abscesses, multiple sclerosis or any other disease: it knows tumor and no tumor
only. A slice without a tumor says nothing about the rest of the head. It was not tested on the scanners of your
hospital: measure it there first."""
_LEAKAGE = """Exact copies, near-copies (re-encoded, rescaled, cropped, mirrored, with changed contrast) and slices of
one patient form groups; a group is in one of the sets (train, validation, test) only. Each picture counts once.
Temperature and thresholds come from the validation set; the test set and the external collections were scored once.
External images that share a group with training images are left out."""
_LEAKY = """None to speak of: the split puts copies of test images, or other slices of their patients, into the
training set. The figures below say little about images that the network has not seen."""
_LIMITS = """Labels come from the collections; some are wrong. Most collections are public slices that someone chose,
in unknown proportions, so the probability is calibrated for their mixture and not for yours. Where a collection has few
patients (groups), its interval is too narrow. ROC AUC over a mixture of collections misleads; look at each one at one
threshold."""


def model_card(bundle: Bundle) -> str:
    """Returns the card as Markdown."""
    facts = bundle.facts
    sections = [
        ("Intended use", _INTENDED),
        ("What it must not be used for", _NOT),
        ("Data", _data(facts.data)),
        ("Leakage controls", _LEAKY if facts.leaky else _LEAKAGE),
        ("Model and training", _model(bundle, facts)),
        ("Adapted to a site", _site(facts.site)),
        ("Performance", _performance(facts)),
        ("Volumes", _volumes(bundle, facts.volumes)),
        ("Where it looks", _maps(facts.maps)),
        ("Kind of tumor", _kinds(facts.kinds)),
        ("When it refers", _margins(bundle)),
        ("Limits", _LIMITS),
    ]
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections if text)
    return f"# Model card: {bundle.name}\n\n{bundle.notice}\n\n{body}\n"


def statements(bundle: Bundle) -> list[tuple[str, str]]:
    """Returns titles and sentences of the card without figures, as plain text."""
    leakage = _LEAKY if bundle.facts.leaky else _LEAKAGE
    titles = ("Intended use", "What it must not be used for", "Leakage controls", "Limits")
    texts = (_INTENDED, _NOT, leakage, _LIMITS)
    return [(title, " ".join(text.replace("*", "").split())) for title, text in zip(titles, texts, strict=True)]


def _data(counts: Sequence[DataCount]) -> str:
    """Images of each subset by source and contrast, tumor / tumor-free."""
    number = {(row.source, row.contrast, row.part, row.label): row.images for row in counts}
    rows = [
        (
            f"{source} {contrast}".strip(),
            *(
                " / ".join(str(number.get((source, contrast, part, label), 0)) for label in (1.0, 0.0))
                for part in ("train", "validation", "test")
            ),
        )
        for source, contrast in sorted({(row.source, row.contrast) for row in counts})
    ]
    return markdown_table(("images with / without tumor", "train", "validation", "test"), rows) if rows else ""


def _model(bundle: Bundle, facts: Provenance) -> str:
    config, environment = facts.config, facts.environment
    thresholds = ", ".join(f"`{name}` {value:.3f}" for name, value in bundle.thresholds.items())
    averaged = environment.get("mean of", ())
    mean = f"The mean of {len(averaged)} networks: {', '.join(averaged[:-1])}, and one trained as follows. "
    arithmetic = f" It predicts in {environment['inference']}." if "inference" in environment else ""
    whole = environment.get("pruned from")
    pruned = f"pruned without training from {whole}, which was trained as follows: " if whole else ""
    return (
        f"{mean if averaged else ''}`{bundle.name}`, {environment.get('parameters', 0) / 1e6:.2f} M parameters, "
        f"{pruned}{environment.get('pretrained', '')}; input {bundle.size}×{bundle.size} grey, preprocessing "
        f"`{bundle.preprocessing}`. Recipe `{config.get('recipe')}`, {config.get('epochs')} epochs of "
        f"{config.get('epoch_images') or 'all'} images, seed {config.get('seed')}, commit "
        f"{environment.get('commit')}, on {environment.get('processor')}.{arithmetic} Temperature "
        f"{bundle.temperature:.2f}; "
        f"thresholds {thresholds}. SHA-256 over the hashes of all images: `{facts.data_sha256[:16]}…`."
    )


def _performance(facts: Provenance) -> str:
    names = ("sensitivity", "specificity", "roc_auc")
    rows = [
        (
            f"{row.source} ({'held-out groups' if row.part == 'test' else 'external'})",
            f"{row.n} / {row.n_tumor} / {row.n_groups}",
            *(cell(name, row.scores.get(name)) for name in names),
        )
        for row in sorted(facts.figures, key=lambda row: (row.part != "test", row.source))
    ]
    head = ("source", "images / tumor / groups", "sensitivity, %", "specificity, %", "ROC AUC")
    words = "At the threshold `balanced`, with 95 % intervals that resample groups."
    if facts.test:
        words += (
            f" All held-out groups together: ROC AUC {cell('roc_auc', facts.test['roc_auc'])}, calibration error "
            f"{cell('calibration_error', facts.test['calibration_error'])}."
        )
    if facts.measured:
        words += (
            f" The figures of held-out groups are those of another network, {facts.measured}, which never saw these "
            "groups. Once they were measured, the network that this card describes was trained on them too."
        )
    return f"{words}\n\n{markdown_table(head, rows)}" if rows else ""


def _volumes(bundle: Bundle, found: VolumeScores | None) -> str:
    if bundle.volumes is None or not found:
        return bundle.volumes_in_words
    rows = [(name, cell(name, found.before[name]), cell(name, score)) for name, score in found.scores.items()]
    thresholds = ", ".join(f"`{name}` {value:.3f}" for name, value in bundle.volumes.thresholds.items())
    words = (
        f"{bundle.volumes_in_words} Log-odds {bundle.volumes.slope:.2f} × that mean {bundle.volumes.intercept:+.2f}; "
        f"thresholds {thresholds}; suspicious from {bundle.volumes.suspicion:.3f}. On parts of series in which length, "
        f"level and contrast do not tell the class: {found.n_tumor} validation patients with a tumor, {found.n_free} "
        "with tumor-free series, each scored by what was fitted to the others; before: the largest mean probability, "
        "calibrated in the same way. Sensitivity and specificity at `balanced`, chosen for each."
    )
    return f"{words}\n\n{markdown_table(('metric', 'before', 'after'), rows)}"


def _site(site: SiteScores | None) -> str:
    if not site:
        return ""
    rows = [(name, *(cell(name, score) for score in scores)) for name, scores in site.scores.items()]
    words = (
        f"Temperature and thresholds come from {site.n} images of a site, {site.n_tumor} with a tumor; its "
        "scores, cross-fitted. The figures below are those of the network before that, at its own thresholds."
    )
    return f"{words}\n\n{markdown_table(('metric', 'before', 'after'), rows)}"


def _maps(maps: dict[str, MapScores]) -> str:
    rows = [
        (name, str(one.n), cell("hit", one.hit), cell("energy", one.energy), cell("overlap", one.overlap))
        for name, one in maps.items()
    ]
    head = ("masks of", "images", "pointing game", "energy inside", "overlap")
    words = (
        "The tumor map against segmentation masks that it was not trained on: share of images whose strongest place "
        "lies in the tumor, share of the map's sum in it, and intersection over union."
    )
    return f"{words}\n\n{markdown_table(head, rows)}" if rows else ""


def kinds_table(figures: Sequence[KindFigures]) -> str:
    """Returns how often the kind is right, on a collection that the model has seen and when it has not, as Markdown."""
    ordered = sorted(figures, key=lambda one: (one.source, one.contrast, one.left_out))
    rows = []
    for (source, contrast), both in groupby(ordered, key=lambda one: (one.source, one.contrast)):
        found = {one.left_out: one for one in both}
        cells = [_kind_cells(found[left_out]) if left_out in found else ["–"] * 4 for left_out in (False, True)]
        rows.append((f"{source} {contrast}".strip(), *cells[0], *cells[1]))
    head = ("images", "right, %", "right by kind, %", "named; right of these, %")
    return markdown_table(("source", *head, *(f"left out: {name}" for name in head)), rows)


def _kind_cells(one: KindFigures) -> list[str]:
    by_kind = ", ".join(f"{name} {shown(share, unit=False)}" for name, share in one.recall.items() if one.counts[name])
    named = f"{shown(one.named, unit=False)}; {shown(one.right, unit=False)}"
    return [str(one.n), shown(one.accuracy, unit=False), by_kind, named]


def _kinds(figures: Sequence[KindFigures]) -> str:
    words = (
        "How often the most probable kind is right: on validation images of collections that the model was fitted to, "
        "and on all images of a collection that was left out. The images of a user are of the second sort. A kind that "
        "no other collection has is never right there."
    )
    return f"{words}\n\n{kinds_table(figures)}" if figures else ""


def _margins(bundle: Bundle) -> str:
    rows = [
        (f"{float(share):.1%}", f"{found['margin']:.2f}", f"{found['referred']:.1%}")
        for share, found in bundle.margins.items()
    ]
    head = ("wrong answers, at most", "distance from even odds, logits", "referred")
    words = "With `--max-error`, on images like those of the validation set, with 90 % confidence (learn then test):"
    return f"{words}\n\n{markdown_table(head, rows)}" if rows else ""
