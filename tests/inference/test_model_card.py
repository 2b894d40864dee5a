"""The model card: filled from the bundle's own figures, with a gap where there is none."""

from pathlib import Path

from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.inference.model_card import model_card

SCORE = {"value": 0.912, "low": 0.85, "high": 0.96}


def _bundle(**provenance):
    return Bundle(
        Path("x"), "compact", "standard", 128, 1.3, {"balanced": 0.41}, [], {"0.02": {"margin": 1.5, "referred": 0.2}},
        {"config": {"recipe": "release", "epochs": 3, "seed": 0}, "environment": {"parameters": 790_000}, **provenance},
    )  # fmt: skip


def test_the_card_tells_the_figures_of_the_bundle():
    figures = [
        {
            "part": part,
            "source": source,
            "n": 100,
            "n_tumor": 40,
            "n_groups": 12,
            "scores": {"sensitivity": SCORE, "specificity": {"value": None}, "roc_auc": SCORE},
        }
        for part, source in (("external", "far"), ("test", "near"))
    ]
    data = [{"source": "near", "contrast": "t1", "label": 1.0, "part": "train", "images": 77, "groups": 5}]
    card = model_card(_bundle(figures=figures, data=data))
    assert "| near (held-out groups) | 100 / 40 / 12 | 91.2 (85.0–96.0) | – | 0.912 (0.850–0.960) |" in card
    assert card.index("near (held-out") < card.index("far (external)")
    assert "| near t1 | 77 / 0 | 0 / 0 | 0 / 0 |" in card
    assert "| 2.0% | 1.50 | 20.0% |" in card and "`balanced` 0.410" in card
    assert "Not a medical device" in card


def test_a_bundle_without_figures_has_a_card_without_empty_tables():
    card = model_card(_bundle())
    assert "## Intended use" in card and "## Performance" not in card and "## Where it looks" not in card


def test_a_leaky_run_has_no_leakage_controls():
    card = model_card(_bundle(leaky=True))
    assert "None to speak of" in card and "a group is in one of the sets" not in card
    assert "a group is in one of the sets" in model_card(_bundle(leaky=False))


def test_the_documentation_shows_the_card_as_it_is_printed():
    documented = (Path(__file__).resolve().parents[2] / "docs/model.md").read_text(encoding="utf-8")
    _, _, card = model_card(load_bundle()).partition("## Intended use")
    assert card in documented
