"""The contour corrected by drawing: with mouse, keys and fingers; saved, shown again, exported where it was drawn."""

import csv
import gzip
import io
import zipfile
from importlib.util import find_spec

import nibabel
import numpy as np
import pydicom
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from brainsift.images.phantom import draw

from .actions import PHONE, drop, hold_back, open_case, row, wait_until, wait_until_scored
from .scans import draw_volume, write_nifti, write_series

pytestmark = pytest.mark.browser
SIDE = 192
NEEDED = {
    "StudyInstanceUID": "1.2.826.0.1.88",
    "FrameOfReferenceUID": "1.2.826.0.1.88.9",
    "PixelSpacing": [2.0, 2.0],
    "SliceThickness": 4.0,
}
PINK = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += data[i] > 230 && data[i + 1] < 165 && data[i + 2] > 205;
  return count;
}"""


@pytest.fixture(scope="module")
def url(serving, tmp_path_factory):
    """A server with a history of its own: equal pictures of other tests would stand for those drawn on here."""
    with serving(keep=tmp_path_factory.mktemp("kept") / "history", keep_images=True, threads=1) as running:
        yield running.url


def write_head(folder, seed, size=SIDE, *, tumor=True):
    path = folder / f"head-{seed}.png"
    Image.fromarray(draw(seed, tumor=tumor, size=size).pixels).save(path)
    return path


def open_heads(open_page, url, paths, **options):
    page = open_page(url, **options)
    drop(page, paths)
    wait_until_scored(page, len(paths))
    if options.get("is_mobile") and len(paths) > 1:
        page.locator("#case-rows button").first.click()
    expect(page.locator("#case-verdict")).to_be_visible()
    expect(page.locator(".stage-message")).to_be_hidden()
    return page


def begin(page):
    page.get_by_role("button", name="Correct the contour (X)").click()
    expect(page.locator(".draw-bar")).to_be_visible()
    expect(page.locator("#stage canvas.drawing")).to_be_attached()


def brush(page, size):
    page.locator(".draw-size input").fill(str(size))


def tool(page, name):
    page.locator(".draw-tools label", has_text=name).click()


def on_screen(page, point, size=(SIDE, SIDE), zoom=1.0):
    """The place on the screen of a point of the picture, which is not moved."""
    box = page.locator("#stage canvas").first.bounding_box()
    scale = min(box["width"] / size[0], box["height"] / size[1]) * zoom
    x, y = ((place - side / 2) * scale for place, side in zip(point, size, strict=True))
    return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y


def dot(page, point, **where):
    page.mouse.click(*on_screen(page, point, **where))


def expect_saved(page):
    expect(page.locator(".draw-bar .save-state")).to_have_text("Saved")


def export(url):
    content = requests.get(f"{url}/api/v1/history/masks.zip").content
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def table(found, name):
    return list(csv.DictReader(io.StringIO(found[name].decode())))


def mask_of(url, name):
    found = export(url)
    (row,) = (one for one in table(found, "manifest.csv") if one["name"] == name)
    return np.asarray(Image.open(io.BytesIO(found[row["mask"]]))) > 0, row


def number_of(url, name):
    (case,) = requests.get(f"{url}/api/v1/history", params={"query": name}).json()["cases"]
    return case["id"]


def drawn_on(url, name):
    return requests.get(f"{url}/api/v1/history/{number_of(url, name)}/contour").json()["contour"]


def middle(mask):
    """Its middle, x and y, in pixels."""
    y, x = np.nonzero(mask)
    return x.mean() + 0.5, y.mean() + 0.5


def assert_disc(mask, point, diameter):
    assert np.allclose(middle(mask), point, atol=1.0), middle(mask)
    assert abs(mask.sum() / (np.pi * diameter**2 / 4) - 1) < 0.06


def test_a_drawn_disc_is_exported_where_it_is_and_comes_back(open_page, url, tmp_path):
    path = write_head(tmp_path, 21)
    page = open_heads(open_page, url, [path])
    page.keyboard.press("x")
    expect(page.locator(".draw-bar")).to_be_visible()
    brush(page, 30)
    assert page.locator("#stage canvas").first.evaluate(PINK) == 0
    dot(page, (120, 70))
    expect_saved(page)
    wait_until(page, lambda: page.locator("#stage canvas").first.evaluate(PINK) > 60)
    mask, row = mask_of(url, path.name)
    assert mask.shape == (SIDE, SIDE) and row["label"] == "1"
    assert_disc(mask, (120, 70), 30)
    page.keyboard.press("Escape")  # ends drawing, and stays on the case
    expect(page.locator(".draw-bar")).to_be_hidden()
    expect(page.locator(".correction")).to_contain_text("Drawn by a reader. It began with nothing. Area: ")
    page.reload()
    wait_until_scored(page, 1)
    expect(page.locator(".correction")).to_contain_text("Drawn by a reader.")
    wait_until(page, lambda: page.locator("#stage canvas").first.evaluate(PINK) > 60)
    page.locator(".correction").get_by_role("switch").uncheck()
    wait_until(page, lambda: page.locator("#stage canvas").first.evaluate(PINK) == 0)
    page.get_by_role("link", name="History").click()
    line = page.locator("#history-rows tr").filter(has_text=path.name)
    expect(line).to_contain_text("contour")
    line.get_by_role("button").click()
    expect(page.locator(".correction")).to_contain_text("Drawn by a reader.")
    page.locator("#history-export summary").click()
    with page.expect_download() as saved:
        page.locator("#export-masks").click()
    assert saved.value.suggested_filename.startswith("brainsift-masks-20")


def test_zoomed_in_and_moved_it_draws_below_the_pointer(open_page, url, tmp_path):
    path = write_head(tmp_path, 22)
    page = open_heads(open_page, url, [path])
    begin(page)
    brush(page, 12)
    for _ in range(6):
        page.get_by_role("button", name="Zoom in").click()
    zoom = 1.25**6
    dot(page, (100, 90), zoom=zoom)
    start = on_screen(page, (96, 96))
    page.mouse.move(*start)
    page.mouse.down(button="middle")
    page.mouse.move(start[0] - 30, start[1] - 24, steps=3)
    page.mouse.up(button="middle")
    x, y = on_screen(page, (110, 104), zoom=zoom)
    page.mouse.click(x - 30, y - 24)
    expect_saved(page)
    mask, _ = mask_of(url, path.name)
    y, x = np.nonzero(mask)
    assert x.min() + x.max() + 1 == pytest.approx(2 * 105, abs=2)
    assert y.min() + y.max() + 1 == pytest.approx(2 * 97, abs=2)
    assert x.max() + 1 - x.min() == pytest.approx(22, abs=2)


def test_eraser_lasso_undo_redo_clear_and_discard(open_page, url, tmp_path):
    path = write_head(tmp_path, 23)
    page = open_heads(open_page, url, [path])
    begin(page)
    brush(page, 40)
    dot(page, (90, 90))
    tool(page, "Eraser")
    brush(page, 20)
    dot(page, (90, 90))
    expect_saved(page)
    ring, _ = mask_of(url, path.name)
    assert not ring[90, 90] and abs(ring.sum() / (np.pi * (400 - 100)) - 1) < 0.06
    page.keyboard.press("Control+z")
    expect_saved(page)
    assert_disc(mask_of(url, path.name)[0], (90, 90), 40)
    page.keyboard.press("Control+Shift+z")
    expect_saved(page)
    wait_until(page, lambda: sum(drawn_on(url, path.name)["runs"][1::2]) == ring.sum())
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator(".draw-words")).to_contain_text("it says that there is no tumor here")
    expect_saved(page)
    wait_until(page, lambda: drawn_on(url, path.name)["runs"] == [SIDE * SIDE])
    tool(page, "Lasso")
    corners = [(60, 60), (120, 60), (120, 100), (60, 100)]
    page.mouse.move(*on_screen(page, corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*on_screen(page, corner), steps=6)
    page.mouse.up()
    expect_saved(page)
    wait_until(page, lambda: sum(drawn_on(url, path.name)["runs"][1::2]) > 1000)
    mask, _ = mask_of(url, path.name)
    assert np.allclose(middle(mask), (90, 80), atol=1) and abs(mask.sum() / 2400 - 1) < 0.05
    page.get_by_role("button", name="Discard").click()
    wait_until(page, lambda: drawn_on(url, path.name) is None)
    for _ in range(5):
        page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect_saved(page)
    assert drawn_on(url, path.name) is None
    page.get_by_role("button", name="Redo").click()
    wait_until(page, lambda: drawn_on(url, path.name) is not None)


def test_it_begins_with_the_contour_of_the_network_at_the_threshold_in_use(open_page, url, tmp_path):
    path = write_head(tmp_path, 24)
    page = open_heads(open_page, url, [path])
    begin(page)
    areas = []
    for level in ("0.5", "0.8"):
        page.locator("#case-tools").get_by_label("Threshold on the map").fill(level)
        page.get_by_role("button", name="Network’s contour").click()
        expect(page.locator(".draw-words")).to_contain_text(f"It began with the network’s contour at {level}0.")
        expect_saved(page)
        wait_until(page, lambda level=level: (drawn_on(url, path.name) or {}).get("level") == float(level))
        areas.append(sum(drawn_on(url, path.name)["runs"][1::2]))
    number = number_of(url, path.name)
    tumor_map = np.asarray(Image.open(io.BytesIO(requests.get(f"{url}/api/v1/history/{number}/map.png").content)))
    assert areas == [(tumor_map > 255 * level).sum() for level in (0.5, 0.8)]
    assert drawn_on(url, path.name)["start"] == "network"


def test_each_slice_of_a_nifti_has_its_own_mask(open_page, url, tmp_path):
    path = write_nifti(tmp_path / "drawn.nii.gz", draw_volume(25, 9))
    page = open_heads(open_page, url, [path])
    begin(page)
    expect(page.locator("#slice-slider")).to_be_visible()
    for place, point in ((6, (30, 40)), (3, (60, 52))):
        page.locator("#slice-slider").fill(str(place))
        expect(page.locator("#slice-number")).to_have_text(f"{place} / 9")
        expect(page.locator(".draw-words")).to_contain_text("Draw, or take")
        brush(page, 14)
        dot(page, point, size=(96, 96))
        expect_saved(page)
    expect(page.locator(".draw-words")).to_contain_text("mm²")
    page.locator("#slice-slider").fill("6")
    expect(page.locator(".draw-words")).to_contain_text("Drawn by a reader")
    page.keyboard.press("Escape")
    page.locator("#slice-slider").fill("5")
    expect(page.locator(".correction")).to_contain_text("2 of 9 slices of this volume have one.")
    found = export(url)
    (row,) = (one for one in table(found, "volumes.csv") if one["name"] == path.name)
    assert (row["slices"], row["corrected"]) == ("9", "3 6")
    source, made = nibabel.load(path), nibabel.Nifti1Image.from_bytes(gzip.decompress(found[row["nifti"]]))
    assert made.shape == source.shape and np.allclose(made.affine, source.affine)
    voxels = np.asarray(made.dataobj)
    assert set(np.unique(np.argwhere(voxels)[:, 2])) == {2, 5}
    for place, point in ((6, (30, 40)), (3, (60, 52))):
        assert_disc(voxels[..., place - 1].T[::-1, ::-1], point, 14)


def test_a_disc_on_a_series_lies_at_its_place_in_the_patient(open_page, url, tmp_path):
    oblique = [0.8, 0.6, 0, 0, 0, -1]
    write_series(tmp_path / "series", 26, 6, SeriesDescription="to draw on", ImageOrientationPatient=oblique, **NEEDED)
    page = open_page(url)
    page.set_input_files("#pick-folder", tmp_path / "series")
    wait_until_scored(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    page.locator("#slice-slider").fill("4")
    expect(page.locator("#slice-number")).to_have_text("4 / 6")
    begin(page)
    brush(page, 16)
    dot(page, (64, 36), size=(96, 96))
    expect_saved(page)
    found = export(url)
    (row,) = (one for one in table(found, "volumes.csv") if one["corrected"] == "4")
    made = nibabel.Nifti1Image.from_bytes(gzip.decompress(found[row["nifti"]]))
    voxels = np.asarray(made.dataobj)
    headers = {one.InstanceNumber: one for one in map(pydicom.dcmread, (tmp_path / "series").iterdir())}
    right, down = np.array(oblique[:3], float), np.array(oblique[3:], float)
    ordered = sorted(headers.values(), key=lambda one: np.dot(one.ImagePositionPatient, np.cross(right, down)))
    places = [np.array(one.ImagePositionPatient) + right * 2.0 * 63.5 + down * 2.0 * 35.5 for one in ordered]
    center = (made.affine @ [*np.argwhere(voxels).mean(axis=0), 1])[:3] * [-1, -1, 1]
    far = [np.linalg.norm(center - place) for place in places]
    assert min(far) < 2.0 and abs(voxels.sum() / (np.pi * 64) - 1) < 0.06
    if find_spec("highdicom") is None:
        pytest.skip("needs dicom: highdicom is not installed")
    from highdicom.seg import Segmentation

    whole = pydicom.dcmread(io.BytesIO(found[row["segmentation"]]))
    image = ordered[int(np.argmin(far))]
    frame = Segmentation.from_dataset(whole).get_pixels_by_source_instance([image.SOPInstanceUID])[0, ..., 0]
    assert_disc(frame, (64, 36), 16)
    assert whole.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_keys_alone_draw(open_page, url, tmp_path):
    path = write_head(tmp_path, 27)
    page = open_heads(open_page, url, [path])
    page.locator("#stage canvas").first.focus()
    page.keyboard.press("x")
    expect(page.locator("#stage canvas.drawing")).to_be_attached()
    brush(page, 4)
    page.locator("#stage canvas").first.focus()
    page.keyboard.press(".")
    page.keyboard.press(",")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("#live")).to_have_text("Pen down")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#live")).to_have_text("Column 106, row 127")
    page.keyboard.press("Space")
    expect_saved(page)
    mask, _ = mask_of(url, path.name)
    assert np.allclose(middle(mask), (106, 96 + 15.5), atol=1)
    assert abs(mask.sum() - (31 * 4 + np.pi * 4)) < 20
    page.keyboard.press("x")
    expect(page.locator(".draw-bar")).to_be_hidden()
    page.keyboard.press("Shift+ArrowDown")  # moves the picture again
    assert mask_of(url, path.name)[0].sum() == mask.sum()


def test_a_finger_draws_and_two_fingers_zoom(open_page, url, tmp_path):
    path = write_head(tmp_path, 28)
    page = open_heads(open_page, url, [path], **PHONE)
    begin(page)
    brush(page, 30)
    page.locator("#stage canvas").first.scroll_into_view_if_needed()
    page.touchscreen.tap(*on_screen(page, (100, 110)))
    expect_saved(page)
    assert_disc(mask_of(url, path.name)[0], (100, 110), 30)
    session = page.context.new_cdp_session(page)
    (ax, ay), (bx, by) = on_screen(page, (60, 60)), on_screen(page, (130, 130))

    def touch(kind, *points):
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (ax, ay))
    touch("touchMove", (ax + 4, ay + 4))
    touch("touchStart", (ax + 4, ay + 4), (bx, by))
    for step in (10, 20, 30):
        touch("touchMove", (ax + 4 - step, ay + 4 - step), (bx + step, by + step))
    touch("touchEnd")
    expect(page.locator(".zoom-words")).not_to_have_text("100 %")
    assert_disc(mask_of(url, path.name)[0], (100, 110), 30)  # the stroke that the first finger began is taken back
    wide = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]


def test_a_click_before_the_picture_is_there_is_not_lost(open_page, url, tmp_path):
    first, second = write_head(tmp_path, 31), write_head(tmp_path, 32)
    page = open_heads(open_page, url, [first, second])
    other = next(one.name for one in (first, second) if one.name != page.locator("#case-title").inner_text())
    button = row(page, other).get_by_role("button")
    pencil = page.get_by_role("button", name="Correct the contour (X)").element_handle()
    button.evaluate("(button, pencil) => { button.click(); pencil.click(); }", pencil)  # no picture between them
    expect(page.locator("#case-title")).to_have_text(other)
    expect(page.locator(".draw-bar")).to_be_visible()
    dot(page, (80, 80))
    expect_saved(page)


def test_in_blind_mode_nothing_shows_the_contour_of_the_network(open_page, url, tmp_path):
    first, second = write_head(tmp_path, 29), write_head(tmp_path, 30)
    page = open_heads(open_page, url, [first, second])
    open_case(page, second.name)
    begin(page)
    page.get_by_role("button", name="Network’s contour").click()
    expect_saved(page)
    page.keyboard.press("Escape")
    page.locator("#judging summary").click()
    page.locator("#blind").check()
    expect(page.locator(".correction")).to_contain_text("is hidden until you judge this case")
    assert page.locator("#stage canvas").first.evaluate(PINK) == 0
    open_case(page, first.name)
    begin(page)
    expect(page.get_by_role("button", name="Network’s contour")).to_be_disabled()
    brush(page, 20)
    dot(page, (80, 80))
    expect_saved(page)
    assert drawn_on(url, first.name)["start"] == "empty"
    page.keyboard.press("Escape")
    open_case(page, second.name)
    page.locator("#case-verdict label", has_text="No tumor").first.click()
    expect(page.locator(".correction")).to_contain_text("It began with the network’s contour")
    page.locator("#blind").uncheck()


def test_a_contour_that_is_not_saved_is_told_and_stays(open_page, url, tmp_path):
    path = write_head(tmp_path, 31)
    page = open_heads(open_page, url, [path], strict=False)
    begin(page)
    brush(page, 20)
    with hold_back(page, "**/contour", lambda route: route.fulfill(status=507, body="full")) as let_go:
        dot(page, (80, 80))
        wait_until(page, let_go)
        expect(page.locator(".draw-bar .save-state")).to_contain_text("Not saved")
        expect(page.get_by_role("alert")).to_contain_text(f"The contour on {path.name} was not saved")
    expect(page.locator(".draw-words")).to_contain_text("Drawn by a reader")
    dot(page, (120, 80))
    expect_saved(page)
    mask, _ = mask_of(url, path.name)
    assert mask[80, 80] and mask[80, 120]


def test_without_a_history_the_page_says_how_to_get_one(open_page, served, images):
    page = open_page(served.url)
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    expect(page.locator(".correction")).to_contain_text("start the server with --keep")
    expect(page.get_by_role("button", name="Correct the contour")).to_have_count(0)
    page.keyboard.press("x")
    expect(page.locator(".draw-bar")).to_be_hidden()


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_drawing_has_no_serious_barrier(open_page, url, tmp_path, look):
    page = open_heads(open_page, url, [write_head(tmp_path, 32 + len(look))], **look)
    begin(page)
    dot(page, (90, 90))
    expect_saved(page)
    page.evaluate(Axe().axe_script)
    violations = page.evaluate("() => axe.run().then(({ violations }) => violations)")
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []
