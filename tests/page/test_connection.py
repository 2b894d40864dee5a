"""The page and its server: a token, a busy server, a lost server, a lost job."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .actions import called, drop, natural_key, open_case, row, wait_until_scored
from .scans import draw_volume, write_nifti

pytestmark = pytest.mark.browser

GONE = {"code": "not_found", "subject": "job", "rule": "is not there", "remedy": "Send the files again."}


def test_a_job_that_is_lost_goes_again_once(open_page, server, files, images, expected):
    page = open_page(strict=False)  # Chromium writes each 404 to its console
    known = 3
    lost = []

    def lose(route):
        """Answers for some, and then the server does not know the job any more."""
        job = route.request.url.rpartition("/")[2].partition("?")[0]
        if not lost:
            lost.append(job)
            reply = {"state": ""}
            while reply["state"] != "done":
                reply = requests.get(f"{server}/api/v1/jobs/{job}?wait=20").json()
            requests.delete(f"{server}/api/v1/jobs/{job}")
            route.fulfill(json={**reply, "state": "running", "done": known, "answers": reply["answers"][:known]})
        else:
            route.continue_()

    follow = re.compile(r"/jobs/[^/]+\?after=\d+&wait")
    page.route(follow, lose)
    drop(page, images)
    wait_until_scored(page, len(images))
    expect(page.locator("#case-rows .case-name")).to_have_text(sorted(expected, key=natural_key))
    for name, answer in expected.items():
        expect(row(page, name).locator("td .decision")).to_have_text(called(answer))
    page.unroute_all()
    page.reload()
    wait_until_scored(page, len(images) - known)
    for told in (page.locator("#skipped"), page.locator("#live")):
        expect(told).to_contain_text(f"The server has forgotten {known} cases of this list.")
    page.route(follow, lambda route: route.fulfill(status=404, json=GONE), times=1)
    drop(page, [files / "head.nii.gz"])
    wait_until_scored(page, len(images) - known + 1)
    expect(row(page, "head.nii.gz")).to_contain_text("9 slices")
    page.route(follow, lambda route: route.fulfill(status=404, json=GONE))
    drop(page, images[:1])
    wait_until_scored(page, len(images) - known + 2)
    open_case(page, images[0].name)
    expect(page.locator("#prediction-words")).to_have_text("This file was not scored.")
    expect(page.locator("#prediction-reason")).to_contain_text("lost this file before it was scored. Drop it again.")


@contextmanager
def started(*arguments):
    """Runs the command; gives the address that it prints."""
    command = [sys.executable, "-m", "brainsift", "serve", "--no-browser", "--port", "0", "--threads", "1", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as it:
        yield next(match[0] for line in it.stdout if (match := re.search(r"http://\S+", line)))
        it.terminate()


def test_the_page_asks_for_the_token(open_page, browser, images):
    token = "a-token-of-more-than-16"
    with started("--token", token) as url:
        address = url.partition("?")[0]
        assert url == f"{address}?token={token}"
        page = open_page(url)  # as it is printed
        expect(page).to_have_url(address)
        drop(page, images[-1:])
        wait_until_scored(page, 1)
        other = browser.new_page()
        assert other.goto(address).status == 401
        expect(other.get_by_role("alert")).to_have_count(0)
        other.get_by_label("Token").fill("another-token-of-16")
        other.get_by_role("button", name="Open").click()
        expect(other.get_by_role("alert")).to_contain_text("token is wrong")
        assert not Axe().run(other).response["violations"]
        other.get_by_label("Token").fill(token)
        other.keyboard.press("Enter")
        expect(other.locator("body[data-ready=true]")).to_be_attached()
        expect(other).to_have_url(address)
        other.close()


@contextmanager
def occupied(url, folder):
    """Has a long job fill the queue."""
    volume = write_nifti(folder / "long.nii", np.repeat(draw_volume(1, 3)[1:2, ::3, ::3], 4000, axis=0))
    job = requests.post(f"{url}/api/v1/jobs", files={"files": (volume.name, volume.read_bytes())}).json()
    yield
    assert requests.delete(f"{url}/api/v1/jobs/{job['id']}").status_code == 204


def test_a_busy_server_is_asked_again(open_page, serving, images, tmp_path):
    with serving(queue=1, threads=1) as running:
        page = open_page(running.url, strict=False)  # Chromium writes each 429 to its console
        page.clock.install()
        with occupied(running.url, tmp_path), page.expect_response(lambda reply: reply.status == 429):
            drop(page, images)
        page.clock.fast_forward(10_000)  # the wait that the server asked for
        wait_until_scored(page, len(images))
        page.get_by_role("link", name="History").click()
        expect(page.locator("#history-off")).to_contain_text("--keep")


def test_a_lost_server_is_told_and_found_again(open_page, serving, images):
    with serving(threads=1) as running:
        page = open_page(running.url, strict=False)
        page.clock.install()
        page.route("**/picture.png?side=192", lambda route: route.abort())
        drop(page, images[-2:])
        wait_until_scored(page, 2)
        expect(page.locator("#case-rows .thumb > *")).to_have_count(0)  # above all not the sign of what is unreadable
    port = int(running.url.rpartition(":")[2])
    open_case(page, images[-2].name)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("does not answer")
    expect(page.locator(".stage-message")).to_contain_text("cannot be reached")
    with serving(port=port, threads=1):
        page.clock.fast_forward(3000)
        expect(alert).to_be_hidden()  # nothing else is asked for
        expect(page.locator(".stage-message")).to_contain_text("no longer has this picture")
    drop(page, images[:1])
    expect(alert).to_contain_text("does not answer")
    with serving(port=port, threads=1):
        page.clock.fast_forward(8000)
        wait_until_scored(page, 3)
        expect(alert).to_be_hidden()
