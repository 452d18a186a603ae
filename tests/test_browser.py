"""The report in a browser makes no requests, reacts to pointer and keys, and fits a phone."""

import io
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from byol_jax.report import page

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which("chromium") is None or shutil.which("chromedriver") is None,
        reason="needs Debian's chromium and chromium-driver",
    ),
]

_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1200,900"
)
_SIDE, _TILE = 6, 8  # the map is a square of 6 x 6 points
_COUNT = _SIDE * _SIDE
_PRESENT = "return typeof window.mapPosition === 'function'"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    for option in _OPTIONS.split():
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield made
    made.quit()


@pytest.fixture
def opened(driver, tmp_path):
    """open(runs, pictures) -> the driver on their page; afterwards the page has asked nobody."""
    files = []

    def load(runs, pictures=(), width=1200, height=900):
        size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for log in ("browser", "performance"):
            driver.get_log(log)  # of the page before
        files.append(tmp_path / "page.html")
        page.write(files[-1], runs, pictures)
        driver.get(files[-1].as_uri())
        if any(run.map for run in runs):
            WebDriverWait(driver, 20).until(lambda d: d.execute_script(_PRESENT))
        return driver

    yield load
    assert driver.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"].endswith("WillBeSent")]
    assert files[-1].as_uri() in urls
    assert {u for u in urls if not u.startswith(("data:", "blob:"))} == {files[-1].as_uri()}


def _colour(i):
    return (250 - 5 * i, 5 * i, 0 if i % 2 else 255)


def _name(i):
    return f"folder/picture_{40 + i}.png"


def _pictures(labels=True):
    sheet = Image.new("RGB", (_SIDE * _TILE, _SIDE * _TILE))
    for i in range(_COUNT):
        box = ((i % _SIDE) * _TILE, i // _SIDE * _TILE)
        sheet.paste(_colour(i), (*box, box[0] + _TILE, box[1] + _TILE))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    names = [_name(i) for i in range(_COUNT)]
    given = page.Pictures(file.getvalue(), _TILE, _SIDE, names)
    classes = {"labels": [i % 3 for i in range(_COUNT)], "classes": ["cat", "dog", "<i>"]}
    return given._replace(**classes) if labels else given


def _map(seed):
    rng = np.random.default_rng(seed)
    grid = [[float(i % _SIDE), float(-(i // _SIDE))] for i in range(_COUNT)]
    near = [[int(j) for j in rng.permutation(_COUNT) if j != i][:4] for i in range(_COUNT)]
    cosines = [sorted(rng.uniform(0, 1, 4).tolist(), reverse=True) for _ in range(_COUNT)]
    return page.Map(0, {"PCA": grid, "UMAP": [[y, x] for x, y in grid]}, near, cosines, 0.42)


def _run(name, seed):
    file = io.BytesIO()
    Image.new("RGB", (1200, 300), "grey").save(file, "PNG")
    lines = [
        {"step": 10 * n, "loss": 1 / n if n != 4 else None, "spread": 0.5, "learning_rate": 0.1}
        for n in range(1, 9)
    ]
    rows = [
        {
            "protocol": protocol,
            "accuracy": 0.8 + 0.01 * seed,
            "settings": {"k": 20, "temperature": 0.1},
            "confusion": [[8 + seed, 1, 1], [0, 10, 0], [2, 0, 8]],
            "classes": ["cat", "dog", "<i>"],
        }
        for protocol in ("knn", "linear")
    ]
    facts = {"method": "byol", "data": "a folder whose name is rather long for a narrow screen"}
    config = {"seed": seed, "method.name": "byol", "views.first.area": [0.4, 1.0]}
    evaluation = {"learned": rows, "raw pixels": rows[:1]}
    return page.Run(name, facts, config, lines, evaluation, _map(seed), file.getvalue())


@pytest.fixture
def runs():
    return [_run("first", 1), _run("second <b>run</b>", 2)]


def _click_point(driver, i):
    canvas = driver.find_element(By.CSS_SELECTOR, "#map canvas")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    x, y = driver.execute_script(f"return mapPosition({i})")
    box = driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", canvas)
    across, down = x - box["x"] - box["width"] / 2, y - box["y"] - box["height"] / 2
    actions = ActionChains(driver).move_to_element_with_offset(canvas, round(across), round(down))
    actions.click().perform()
    return canvas


def _selected(driver):
    return int(driver.find_element(By.ID, "selected").get_attribute("data-index"))


def _neighbours(driver, run=0):
    found = driver.find_elements(By.CSS_SELECTOR, f"#neighbours [data-run='{run}'] button")
    return [int(button.get_attribute("data-index")) for button in found]


def _text(driver, name):
    return driver.find_element(By.ID, name).text


def test_a_click_on_the_map_shows_the_neighbours_by_each_run(opened, runs):
    driver = opened(runs, [_pictures()])
    for i in (0, 22, 35):
        _click_point(driver, i)
        assert _selected(driver) == i
        assert _name(i) in _text(driver, "selected")
        for number, run in enumerate(runs):
            assert _neighbours(driver, number) == run.map.neighbours[i]
    cosine = f"{runs[0].map.similarities[35][0]:.3f}"
    assert cosine in driver.find_element(By.CSS_SELECTOR, "#neighbours button").text


def test_a_picture_is_its_own_tile_of_the_sprite(opened, runs):
    driver = opened(runs, [_pictures()])
    middle = """const canvas = document.querySelector(arguments[0]);
        return [...canvas.getContext("2d").getImageData(4, 4, 1, 1).data].slice(0, 3);"""
    for i in (0, 22, 35):
        _click_point(driver, i)
        assert tuple(driver.execute_script(middle, "#selected canvas")) == _colour(i)
        nearest = runs[0].map.neighbours[i][0]
        assert tuple(driver.execute_script(middle, "#neighbours canvas")) == _colour(nearest)


def test_a_neighbour_is_selected_in_its_turn(opened, runs):
    driver = opened(runs, [_pictures()])
    wanted = runs[0].map.neighbours[0][1]
    driver.find_element(By.CSS_SELECTOR, f"#neighbours button[data-index='{wanted}']").click()
    assert _selected(driver) == wanted
    assert _neighbours(driver) == runs[0].map.neighbours[wanted]
    assert driver.switch_to.active_element.get_attribute("id") == "selected"


def test_keys_walk_from_point_to_point(opened, runs):
    driver = opened(runs, [_pictures()])
    canvas = _click_point(driver, 14)
    canvas.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    text = driver.find_element(By.CSS_SELECTOR, "#map [aria-live]")
    assert text.get_attribute("textContent") == f"{_name(21)}, cat"
    assert _selected(driver) == 14
    canvas.send_keys(Keys.ENTER)
    assert _selected(driver) == 21
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP, " ")
    assert _selected(driver) == 14


def test_an_enlarged_map_keeps_its_points_under_the_pointer(opened, runs):
    driver = opened(runs, [_pictures()])
    canvas = _click_point(driver, 14)
    before = driver.execute_script("return [mapPosition(14), mapPosition(15)]")
    canvas.send_keys("+++")
    after = driver.execute_script("return [mapPosition(14), mapPosition(15)]")
    assert math.dist(*after) == pytest.approx(1.5**3 * math.dist(*before), rel=1e-3)
    _click_point(driver, 15)
    assert _selected(driver) == 15
    canvas.send_keys("0")
    box = driver.execute_script("return mapPosition(14)")
    assert box[0] == pytest.approx(before[0][0], abs=1)


def test_the_map_shows_another_projection_and_another_run(opened, runs):
    driver = opened(runs, [_pictures()])
    _click_point(driver, 7)
    run, projection = driver.find_elements(By.CSS_SELECTOR, "#map select")
    Select(projection).select_by_visible_text("UMAP")
    first, second = driver.execute_script("return [mapPosition(0), mapPosition(1)]")
    assert first[0] == pytest.approx(second[0]) and first[1] > second[1]
    Select(run).select_by_visible_text("second <b>run</b>")
    assert _selected(driver) == 7
    label = driver.find_element(By.CSS_SELECTOR, "#map canvas").get_attribute("aria-label")
    assert label.startswith("PCA of second <b>run</b>")


def test_a_picture_is_found_by_name_and_number(opened, runs):
    driver = opened(runs, [_pictures()])
    field = driver.find_element(By.CSS_SELECTOR, "#map input[type=search]")
    for text, wanted in (("17", 17), ("PICTURE_45", 5), (_name(31), 31), ("_6", 20)):
        field.clear()
        field.send_keys(text, Keys.ENTER)
        assert _selected(driver) == wanted
    field.send_keys(Keys.ENTER)
    assert _selected(driver) == 21  # the next with _6
    field.send_keys("no such", Keys.ENTER)
    assert "No image name contains" in _text(driver, "map") and _selected(driver) == 21


def test_tables_tell_the_results_and_what_differs(opened, runs):
    driver = opened(runs, [_pictures()])
    results = _text(driver, "results")
    assert "learned 81.0 81.0" in results and "learned 82.0 82.0" in results
    assert "raw pixels 81.0 –" in results and "kNN (k=20, T=0.1)" in results
    differences = _text(driver, "differences")
    assert "seed 1 2" in differences and "method.name" not in differences
    assert "cat 9 1 1 81.8" in _text(driver, "confusion")
    Select(driver.find_element(By.CSS_SELECTOR, "#confusion select")).select_by_index(2)
    assert "cat 9 1 1" in _text(driver, "confusion")  # raw pixels of the first
    Select(driver.find_element(By.CSS_SELECTOR, "#confusion select")).select_by_index(3)
    assert "cat 10 1 1" in _text(driver, "confusion")


def test_keys_move_along_the_curves(opened, runs):
    driver = opened(runs, [_pictures()])
    plot = driver.find_element(By.CSS_SELECTOR, "#curves svg.plot")
    plot.send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    text = "step 20: first 0.5, second <b>run</b> 0.5"
    assert plot.get_attribute("aria-valuetext") == text
    assert "Values at step 20." in _text(driver, "curves")
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert plot.get_attribute("aria-valuetext").startswith("step 40: first –")


def test_a_phone_scrolls_up_and_down_alone(opened, runs):
    driver = opened(runs, [_pictures()], width=360, height=740)
    wide = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1] == 360
    _click_point(driver, 20)
    assert _selected(driver) == 20


def test_a_single_run_without_labels(opened):
    given = page.Run("alone", metrics=[{"step": 1, "loss": 0.5}], map=_map(3))
    driver = opened([given], [_pictures(labels=False)], width=360, height=740)
    wide = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    _click_point(driver, 9)
    assert _selected(driver) == 9
    assert _neighbours(driver) == given.map.neighbours[9]
    shown = driver.find_elements(By.CSS_SELECTOR, "main > section:not([hidden])")
    assert [section.get_attribute("id") for section in shown] == ["curves", "map"]


def test_runs_with_nothing_to_show(opened):
    driver = opened([page.Run("bare")])
    assert driver.find_element(By.TAG_NAME, "h1").text == "bare"
    assert not driver.find_elements(By.CSS_SELECTOR, "main > section:not([hidden])")
