"""The report in a real browser: headless Chromium, driven by Playwright."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browsers import Watched, browser
from report_runs import made_up_run

from zc_search.report import compare_runs, plot_pareto, render_report
from zc_search.report.run import nondominated

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.thorough

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(made_up_run(150)), encoding="utf-8")
    return path


class Reports(Watched):
    """Reports in a browser, which ask for nothing."""

    def __init__(self, browser: Any, report: Path) -> None:
        super().__init__(browser)
        self._report = report

    def open_report(self, path: Path | None = None, **options: Any) -> Any:
        page = self.open((path or self._report).as_uri(), **options)
        page.wait_for_function("document.querySelectorAll('#table tbody tr, .runs').length > 0")
        return page


@pytest.fixture
def open_page(browser: Any, report: Path) -> Iterator[Open]:
    """Open pages of a test's own."""
    watched = Reports(browser, report)
    yield watched.open_report
    watched.close()
    assert watched.troubles == []


@pytest.fixture(scope="module")
def shared(browser: Any, report: Path) -> Iterator[tuple[Watched, Any]]:
    watched = Reports(browser, report)
    yield watched, watched.open_report()
    watched.close()


@pytest.fixture
def page(shared: tuple[Watched, Any]) -> Iterator[Any]:
    """The report, opened once for all tests that leave it as they found it."""
    watched, opened = shared
    opened.fill("#filters [name=words]", "")
    opened.mouse.move(0, 0)
    yield opened
    troubles, watched.troubles = watched.troubles, []
    assert troubles == []


def rows(page: Any) -> list[list[str]]:
    script = "e => e.map(r => [...r.cells].map(c => c.textContent))"
    found: list[list[str]] = page.eval_on_selector_all("#table tbody tr", script)
    return found


def draw_all(page: Any) -> None:
    page.evaluate("zc.drawAll()")
    count = page.evaluate("zc.figures().length")
    page.wait_for_function(f"document.querySelectorAll('.canvas .main-svg').length >= {count}")


def test_everything_is_drawn_without_an_error_or_a_request(open_page: Open) -> None:
    page = open_page()
    draw_all(page)
    assert page.locator("figure .message").count() == 0
    assert page.locator("#parallel .y-axis").count() == 8
    assert page.locator("text=WebGL is not supported").count() == 0
    assert page.locator("#answer svg.zc-cell .edge").count() == 6


def test_figures_are_drawn_when_they_come_into_view(open_page: Open) -> None:
    page = open_page()
    assert page.locator("#time .main-svg").count() == 0
    page.locator("#time").scroll_into_view_if_needed()
    page.locator("#time .main-svg").first.wait_for()


def test_the_browser_finds_the_same_fronts_as_python(page: Any) -> None:
    random = np.random.default_rng(0)
    for size in (1, 2, 3):
        costs = random.integers(0, 6, size=(60, size))
        found = page.evaluate("costs => [...zc.nondominated(costs)]", costs.tolist())
        assert sorted(found) == np.flatnonzero(nondominated(costs.astype(float))).tolist()


def test_objectives_are_chosen_on_the_page(page: Any) -> None:
    page.locator("#pareto").scroll_into_view_if_needed()
    page.select_option("#axes [name=x]", "val_accuracy")
    page.select_option("#axes [name=y]", "params")
    expected = plot_pareto(made_up_run(150), "val_accuracy", "params").data
    shown = page.evaluate("zc.specs(document.getElementById('pareto'))[0].data")
    for trace, own in zip(shown, expected, strict=True):
        assert trace["customdata"] == list(own.customdata)
        np.testing.assert_allclose(trace["y"], own.y)
    assert page.text_content("#pareto h3") == "Validation accuracy (%) and Parameters (M)"
    assert page.text_content("#pareto .ytitle") == "Parameters (M), less is better"
    front = len(expected[2].x)
    assert f"{front} on the front of these axes" in page.text_content("#axes output")
    assert f"{front} on the front" in page.get_attribute("#pareto .canvas", "aria-label")


def test_a_third_objective_opens_a_space_and_closes_it_again(page: Any) -> None:
    page.locator("#pareto").scroll_into_view_if_needed()
    page.select_option("#axes [name=z]", "flops")
    page.locator("#pareto .gl-container canvas").first.wait_for()
    page.select_option("#axes [name=z]", "")
    page.locator("#pareto .scatterlayer .point").first.wait_for()
    assert page.locator("#pareto .gl-container canvas").count() == 0


def test_pointing_at_a_trial_shows_its_cell_and_a_click_opens_it(page: Any) -> None:
    page.locator("#pareto").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = page.locator("#pareto .scatterlayer .trace:last-child .point").first.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.locator("#hover svg.zc-cell").wait_for()
    title = page.text_content("#hover strong")
    number = int(title.removeprefix("Trial "))
    architecture = made_up_run(150).trials["architecture"][number]
    assert page.get_attribute("#hover svg", "aria-label") == f"Cell {architecture}"
    operations = page.eval_on_selector_all("#hover .edge", "e => e.map(g => g.dataset.op)")
    assert all(f"{operation}~" in architecture for operation in operations)
    page.mouse.click(*middle)
    page.locator("dialog[open]").wait_for()
    assert page.text_content("#trial h2") == title
    assert architecture in page.text_content("#trial")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_the_table_sorts(page: Any) -> None:
    heading = page.locator("#table th[data-name=val_accuracy]")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    best = made_up_run(150).trials.sort_values("val_accuracy", ascending=False, kind="stable")[
        "number"
    ]
    assert [row[0] for row in rows(page)] == [str(number) for number in best.head(100)]
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert rows(page)[0][0] == str(best.iloc[-1])
    page.locator("#table th[data-name=jacov] button").click()
    page.click("#more")
    values = [row[5] for row in rows(page)]
    assert values[-1] == ""  # what is missing comes last, whichever way
    assert page.locator("#table th[aria-sort]").count() == 1
    page.locator("#table th[data-name=number] button").click()


def test_the_table_filters(page: Any) -> None:
    trials = made_up_run(150).trials
    page.fill("#filters [name=words]", "conv_3x3 VAL_ACCURACY>=89")
    conv = trials["architecture"].str.contains("nor_conv_3x3")
    expected = trials[conv & (trials["val_accuracy"] >= 89)]
    assert [int(row[0]) for row in rows(page)] == expected["number"].tolist()
    assert page.text_content("#count") == f"{len(expected)} of {len(trials)} trials"
    page.fill("#filters [name=words]", "")
    page.check("#filters [name=front]")
    assert len(rows(page)) == trials["pareto"].sum()
    page.uncheck("#filters [name=front]")
    page.check("#filters [name=feasible]")
    assert page.text_content("#count").startswith(f"{trials['feasible'].sum()} of")
    page.uncheck("#filters [name=feasible]")
    page.fill("#filters [name=words]", "jacobi>3")
    assert page.text_content("#count").startswith("There is no column jacobi.")
    page.fill("#filters [name=words]", "synflow[log=false]>1e30")
    assert page.text_content("#count").startswith("There is no column synflow[log=false].")
    page.fill("#filters [name=words]", "jacov>high")
    assert page.text_content("#count").startswith("high is no number.")


def test_what_is_shown_can_be_saved_as_csv(page: Any) -> None:
    page.fill("#filters [name=words]", "val_accuracy>88")
    page.locator("#filters").scroll_into_view_if_needed()
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.suggested_filename == "made-up-trials.csv"
    saved = Path(download.value.path()).read_text(encoding="utf-8")
    own = made_up_run(150).trials[made_up_run(150).trials["val_accuracy"] > 88].to_csv(index=False)
    pd.testing.assert_frame_equal(
        *(pd.read_csv(io.StringIO(text), engine="python") for text in (saved, own)),
        check_exact=True,
    )


def test_figures_are_saved_as_svg_and_png(page: Any) -> None:
    for kind, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
        page.locator("#weights").hover()
        with page.expect_download() as download:
            page.click(f"#weights [data-save={kind}]")
        assert download.value.suggested_filename == f"made-up-weights.{kind}"
        assert Path(download.value.path()).read_bytes().startswith(start)


def test_brushing_an_axis_keeps_the_lines_within(page: Any) -> None:
    page.locator("#parallel").scroll_into_view_if_needed()
    axis = page.locator("#parallel .axis-brush .background").nth(1)
    axis.wait_for(state="attached")
    page.wait_for_timeout(500)
    box = axis.bounding_box()
    x, top, height = box["x"] + box["width"] / 2, box["y"], box["height"]
    page.mouse.move(x, top + 0.3 * height)
    page.mouse.down()
    page.mouse.move(x, top + 0.6 * height, steps=8)
    page.mouse.up()
    page.wait_for_function(
        "document.querySelector('#parallel .canvas').data[0].dimensions[1].constraintrange"
    )


def test_progress_is_shown_against_what_is_chosen(page: Any) -> None:
    page.locator("#progress").scroll_into_view_if_needed()
    page.locator("#progress .xtitle").wait_for()
    assert page.text_content("#progress .xtitle") == "trials"
    button = page.locator("#progress [data-choice='3']")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("#progress [aria-pressed=true]").count() == 1
    assert page.text_content("#progress .xtitle") == "seconds, summed over trials"


BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
PLOT = "() => document.querySelector('#pareto .canvas')._fullLayout.paper_bgcolor"


def becomes(page: Any, colour: str, expected: str) -> None:
    """Wait for what a page does a moment after it is asked to."""
    page.wait_for_function(f"({colour})() === {expected!r}")


def test_dark_follows_the_system_and_the_button(open_page: Open) -> None:
    light, dark = "rgb(245, 246, 248)", "rgb(14, 18, 22)"
    page = open_page()
    page.locator("#pareto .main-svg").first.wait_for()
    becomes(page, BACKGROUND, light)
    page.emulate_media(color_scheme="dark")
    becomes(page, BACKGROUND, dark)
    becomes(page, PLOT, "#161b21")
    page.click("#theme")
    assert page.get_attribute("#theme", "aria-pressed") == "false"
    becomes(page, BACKGROUND, light)
    becomes(page, PLOT, "#ffffff")
    page.reload()
    page.locator("#pareto .main-svg").first.wait_for()
    becomes(page, BACKGROUND, light)  # remembered


def test_colours_that_are_too_dark_are_brighter_on_dark(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    page.locator("#weights").scroll_into_view_if_needed()
    page.locator("#weights .main-svg").first.wait_for()
    colors = page.evaluate(
        "document.querySelector('#weights .canvas').data.map(t => t.marker.color)"
    )
    assert "#0072B2" not in colors
    assert "#58aee8" in colors


def test_a_narrow_screen_shows_all_of_it(open_page: Open) -> None:
    page = open_page(width=390, has_touch=True, is_mobile=True)
    draw_all(page)
    for width in (390, 320, 768):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#weights .save").evaluate("e => getComputedStyle(e).opacity") == "1"
    assert page.evaluate("document.querySelector('#weights .canvas').layout.dragmode") is False


def test_printing_draws_everything_on_white_and_leaves_the_screen_as_it_was(
    open_page: Open,
) -> None:
    page = open_page(color_scheme="dark")
    page.locator("#pareto .main-svg").first.wait_for()
    page.pdf()
    assert page.locator("#time .main-svg").count() > 0
    assert page.evaluate("zc.printing") is False
    becomes(page, PLOT, "#161b21")


def test_on_paper_nothing_is_wider_than_the_paper(open_page: Open) -> None:
    page = open_page(width=688)  # A4 less the margins, at 96 dots an inch
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    shown = page.eval_on_selector_all(
        "#table thead th", "e => e.filter(h => h.offsetWidth > 0).map(h => h.dataset.name)"
    )
    assert {"number", "architecture", "val_accuracy", "jacov"} <= set(shown)
    assert not {"reason", "duration"} & set(shown)


def test_the_keyboard_reaches_the_content(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_without_webgl_it_says_what_cannot_be_shown(open_page: Open) -> None:
    page = open_page()
    assert page.locator("#axes [name=z]").is_enabled()
    page.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return kind.includes('webgl') ? null : get.call(this, kind, ...more); };"
    )
    page.reload()
    page.locator("#table tbody tr").first.wait_for()
    assert page.locator("#axes [name=z]").is_disabled()
    page.locator("#parallel").scroll_into_view_if_needed()
    page.locator("#parallel >> text=This figure needs WebGL").wait_for()
    page.click("#theme")


def test_hostile_text_is_shown_and_not_run(open_page: Open, tmp_path: Path) -> None:
    attack = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    trials = made_up_run(150).trials.rename(columns={"snip": attack})
    trials["reason"] = attack
    study = made_up_run(150).config.study.model_copy(update={"name": attack})
    hostile = replace(
        made_up_run(150),
        trials=trials,
        config=made_up_run(150).config.model_copy(update={"study": study}),
        ensemble=None,
        notes=(attack,),
    )
    path = tmp_path / "hostile.html"
    path.write_text(render_report(hostile), encoding="utf-8")
    page = open_page(path)
    draw_all(page)
    page.select_option("#axes [name=y]", attack)
    page.fill("#filters [name=words]", "onerror")
    page.locator("#table td button").first.click()
    page.locator("dialog[open]").wait_for()
    assert attack in page.text_content("#trial")
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    "options",
    [
        {"benchmark": False},
        {"feasible": False},
        {"objectives": 7, "ensemble": False},
    ],
    ids=["no benchmark", "none feasible", "seven objectives"],
)
def test_pages_with_something_missing_work(
    open_page: Open, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_report(made_up_run(**options)), encoding="utf-8")
    page = open_page(path)
    draw_all(page)
    page.locator("#table th[data-name=architecture] button").click()


def test_a_comparison_opens(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    path.write_text(compare_runs([made_up_run(150), made_up_run(40, seed=3)]), encoding="utf-8")
    page = open_page(path)
    draw_all(page)
    assert page.locator(".runs svg.zc-cell").count() == 2
