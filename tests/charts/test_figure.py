"""A chart keeps its name, and is written into a file of its own from that."""

from xml.etree import ElementTree

from brainsift.charts import plots
from brainsift.charts.notebook import notebook_html
from brainsift.stats.scores import Confusion


def chart(title="a <b> & c"):
    return plots.confusion_matrix(Confusion(tp=8, fp=1, tn=9, fn=0), title)


def test_a_file_has_the_name_of_the_heading_and_the_chart(tmp_path):
    found = chart().under("Curves, random split", leaky=True)
    assert found.svg == chart().svg
    path = found.write(tmp_path)
    assert path.name == "curves-random-split-leaky-confusion-matrix-of-a-b-c.svg"
    drawn = path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and int(root.get("width")) > 100
    assert root.get("aria-label") == found.name == "confusion matrix of a <b> & c"
    assert "var(" not in drawn and "currentColor" not in drawn


def test_a_notebook_shows_a_result_without_anything_from_elsewhere():
    html = notebook_html("<title>", ["one & two"], chart(), ("<x>", "n"), [("<script>", "1")])
    assert "<script" not in html and "&lt;script&gt;" in html and "&lt;title&gt;" in html and "one &amp; two" in html
    assert html.count("<svg") == 1 and "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "Research use only" in html
    assert "<svg" not in notebook_html("t", [], None, (), [])
