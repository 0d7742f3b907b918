"""The page in headless Chromium: no errors, no requests, no overflow, keyboard, contrast, print, grey."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import paraphrase_rl as prl
from paraphrase_rl.detection.decision import Decision
from paraphrase_rl.detection.explaining import explained
from paraphrase_rl.reporting.explanation import explanation_page
from paraphrase_rl.reporting.inputs import read_inputs
from paraphrase_rl.reporting.page import render_page
from paraphrase_rl.types import Document, Explanation, Share
from tests.reporting import cases

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt-get install chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="no playwright: pip install '.[dev]'"
    ),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)  # with a fresh profile
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole report, one full of hostile texts, and one of a run alone."""
    root = tmp_path_factory.mktemp("pages")
    for name in ("whole", "hostile", "run"):
        run = cases.write_run(root / name)
        if name != "run":
            cases.write_evaluation(run / "evaluation", hostile=name == "hostile")
        (root / f"{name}.html").write_text(render_page(read_inputs(run)), encoding="utf-8")
    return {path.stem: path for path in root.glob("*.html")}


@pytest.fixture(scope="module")
def pages_of_texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a comparison with groups, and that of a text explained by tokens and by n-grams."""
    root = tmp_path_factory.mktemp("texts")
    words = ["a", "council", "voted", "on", "the", "plan", "that", "nobody", "had", "read"]
    draw = np.random.default_rng(0)
    texts = [
        Document(
            id=str(i),
            text=" ".join(draw.choice(words, 60)),
            label=("human", "ai")[i % 2],
            group=("native", "second-language")[i // 2 % 2],
        )
        for i in range(160)
    ]
    lengths = prl.detector(
        lambda some: [float(len(text)) for text in some], name="a-detector-with-a-long-name"
    )
    found = prl.compare(texts, detectors=[lengths, "tfidf"], resamples=50)
    (root / "comparison.html").write_text(found.html(), encoding="utf-8")
    tokens = tuple(
        Share(m.group(), (m.span(),), -0.1, {"rank": 10 ** (i % 5), "logprob": -1.0, "entropy": 2.0})
        for i, m in enumerate(re.finditer(r"\s*\S+", texts[0].text))
    )
    ngrams = tuple(Share(share.text, share.spans, 0.2 * (-1) ** i) for i, share in enumerate(tokens))
    scores = [
        explained(
            Decision(index=0, detector=name, score=sum(s.value for s in shares)),
            Explanation(
                sum(s.value for s in shares), 0.0, shares, len(texts[0].text), is_mean=name == "tokens"
            ),
        )
        for name, shares in (("tokens", tokens), ("n-grams", ngrams))
    ]
    (root / "explanation.html").write_text(
        explanation_page(texts[0].text, scores, ["a note"]), encoding="utf-8"
    )
    return {path.stem: path for path in root.glob("*.html")}


@pytest.mark.parametrize("name", ["comparison", "explanation"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
def test_the_pages_of_texts_fit_their_screens(
    chromium, pages_of_texts, name: str, width: int, scheme: str
) -> None:
    page = opened(chromium, pages_of_texts[name], width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        """() => Array.from(document.querySelectorAll('.scroll, .wide'))
            .map(e => [e.scrollWidth > e.clientWidth, getComputedStyle(e).overflowX])"""
    )
    assert {overflow for _, overflow in wide} == {"auto"}
    if (name, width) == ("comparison", 390):
        assert any(goes_on for goes_on, _ in wide)
    assert page.trouble == []
    page.context.close()


def opened(
    browser: Browser, path: Path, width: int = 1280, scheme: str = "light", script: bool = True
) -> Page:
    """A page in a context of its own; what it complains of or asks for is kept in ``page.trouble``."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        java_script_enabled=script,
        service_workers="block",
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: (trouble.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: trouble.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.trouble = trouble  # type: ignore[attr-defined]
    return page


@pytest.mark.parametrize("name", ["whole", "hostile", "run"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_errors_no_requests_no_sideways_scrolling(chromium, pages, name: str, width: int) -> None:
    page = opened(chromium, pages[name], width)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => Array.from(document.querySelectorAll('main *, header *, footer *'))
            .filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > width + 1)
            .map(e => e.outerHTML.slice(0, 80))""",
        width,
    )
    assert outside == []
    assert page.trouble == []
    page.context.close()


def test_a_table_that_goes_on_shows_it_before_a_figure_is_cut_off(chromium, pages) -> None:
    """What covers the shadow at a table's end is no wider than the space after its last figure: else the shadow stays
    hidden where a digit or two do not fit, and 40 is read as 4."""
    page = opened(chromium, pages["whole"], 360)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    found = page.evaluate(
        """() => Array.from(document.querySelectorAll('.scroll')).map(e => [e, e.querySelector('tbody tr')])
            .filter(([_, row]) => row && getComputedStyle(row).display == 'table-row').map(([e, row]) => [
                getComputedStyle(e).backgroundSize.split(',').map(parseFloat),
                parseFloat(getComputedStyle(row.lastElementChild).paddingRight),
            ])"""
    )
    assert len(found) > 5
    for widths, space in found:
        assert set(widths) == {widths[0]}
        assert 0 < widths[0] <= space
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
def test_axe_finds_nothing_against_wcag_aa(chromium, pages, scheme: str, width: int) -> None:
    import axe_playwright_python

    page = opened(chromium, pages["whole"], width, scheme)
    page.evaluate("document.querySelectorAll('details.data').forEach(d => { d.open = true })")
    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate(
        """() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})
            .then(r => ({
                violations: r.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 120))]),
                passes: r.passes.map(p => p.id),
            }))"""
    )
    assert found["violations"] == []
    assert {"color-contrast", "scrollable-region-focusable", "svg-img-alt"} <= set(found["passes"])
    page.context.close()


def test_keyboard_alone_reaches_everything(chromium, pages) -> None:
    page = opened(chromium, pages["whole"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached: list[str] = []
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 40)"))
        if page.evaluate("document.activeElement.matches('.sample:nth-of-type(2) > summary')"):
            break
    else:
        pytest.fail(f"no second sample among {reached}")
    assert sum("scroll" in html for html in reached) >= 4
    assert sum("<select" in html for html in reached) == 4
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    sample = page.locator(".sample").nth(1)
    assert sample.get_attribute("open") is None
    page.keyboard.press("Enter")
    assert sample.get_attribute("open") is not None
    page.context.close()


def test_samples_are_filtered_and_sorted(chromium, pages) -> None:
    page = opened(chromium, pages["whole"])
    shown = page.locator(".sample:visible")
    assert page.locator("#count").inner_text() == "8 of 8 shown"
    page.select_option("[name=rewriter]", label="homoglyph")
    page.select_option("[name=change]", "evaded")
    page.select_option("[name=detector]", label="tfidf")
    assert 0 < shown.count() < 8
    assert page.locator("#count").inner_text() == f"{shown.count()} of 8 shown"
    page.evaluate("document.querySelectorAll('.sample').forEach(d => { d.open = true })")
    assert set(page.locator("article:visible h4 bdi").all_inner_texts()) == {"homoglyph"}
    assert all(
        "tfidf" in t and "evaded" in t for t in page.locator("article:visible li:visible").all_inner_texts()
    )
    for name in ("rewriter", "change", "detector"):
        page.select_option(f"[name={name}]", "")
    page.select_option("[name=sort]", "changed")
    changed = page.evaluate(
        """Array.from(document.querySelectorAll('.sample'))
            .map(s => Math.max(...Array.from(s.querySelectorAll('article')).map(a => Number(a.dataset.changed))))"""
    )
    assert changed == sorted(changed, reverse=True)
    page.select_option("[name=sort]", "order")
    assert page.locator(".sample .id").all_inner_texts() == [f"ai-{i}" for i in range(8)]
    page.context.close()


def test_without_script_the_page_is_whole(chromium, pages) -> None:
    page = opened(chromium, pages["whole"], script=False)
    assert page.locator("#controls").is_hidden()
    page.locator(".sample > summary").nth(1).click()
    assert page.locator(".sample").nth(1).locator("article ins").first.is_visible()
    page.context.close()


def test_print_shows_the_figures_and_not_the_controls(chromium, pages, tmp_path: Path) -> None:
    page = opened(chromium, pages["whole"])
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator("#controls").is_hidden()
    assert page.locator("table.heat").is_visible()
    sheet = page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert sheet.startswith(b"%PDF")
    # on a sheet nothing can be scrolled: every open table must fit the text width of A4
    page.set_viewport_size({"width": 718, "height": 1000})
    wide = page.evaluate(
        """Array.from(document.querySelectorAll('.scroll'))
            .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
            .map(e => e.getAttribute('aria-label'))"""
    )
    assert wide == []
    page.context.close()


def test_without_colour_words_and_shapes_remain(chromium, pages) -> None:
    page = opened(chromium, pages["whole"])
    page.emulate_media(forced_colors="active")
    assert page.locator("table.verdict .mark").first.inner_text() in ("pass", "fail", "not measured")
    assert all(
        "%" in text or text == "failed" for text in page.locator("table.heat tbody td").all_inner_texts()
    )
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.sample ins')).textDecorationLine")
        == "underline"
    )
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.sample del')).textDecorationLine")
        == "line-through"
    )
    kinds = ("human", "before", "after")
    styles = [
        page.evaluate(
            "kind => { const s = getComputedStyle(document.querySelector(`.area.${kind}`));"
            " return s.strokeDasharray + (s.fill === 'none') }",
            kind,
        )
        for kind in kinds
    ]
    assert styles[0] != styles[1]
    badges = page.evaluate(
        """['pass', 'fail'].map(kind => getComputedStyle(
            document.querySelector(`tr.${kind} .badge`), '::before').content)"""
    )
    assert badges == ['"✓"', '"✕"']
    page.context.close()
