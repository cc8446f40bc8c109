"""The pages of a report in a real browser: they show themselves and ask nobody for anything."""

import re
from pathlib import Path

import pytest

from monitoring import report
from tests.monitoring.conftest import write_log
from tests.tools import run

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def pages(month, tmp_path_factory):
    directory = tmp_path_factory.mktemp("pages")
    log = write_log(month.days(0, 28), directory / "log.jsonl")
    declined = {one.transaction_id for one in month.decisions if one.decision == "decline"}
    month.labels.assign(is_fraud=month.labels["transaction_id"].isin(declined).astype(int)
                        ).to_csv(directory / "labels.csv", index=False)
    report.main(["--reference", str(log), "--decisions", str(log), "--labels",
                 str(directory / "labels.csv"), "--out", str(directory)])
    return directory


# Says at the end what the page has asked for beside itself.
WATCH = """<script>addEventListener("load", () => setTimeout(() => {
document.body.dataset.asked = "asked for: " + performance.getEntriesByType("resource")
    .map(entry => entry.name).filter(name => !/^(data|blob):/.test(name)).join(" ") + "."
}, 5000))</script>"""


def shown(page: str, directory: Path) -> str:
    """Return the HTML of a page after a browser has run it."""
    (directory / "page.html").write_text(page + WATCH)
    return run("chromium", "--headless", "--no-sandbox", "--disable-gpu",
               f"--user-data-dir={directory / 'profile'}", "--virtual-time-budget=20000",
               "--dump-dom", (directory / "page.html").as_uri(), timeout=120)


@pytest.mark.parametrize(("name", "shows"), [
    ("report.html", ["Drift by column", "Drift in column", "share of payments moved", "amount"]),
    ("performance.html", ["Money of fraud by day", "Alerts by day", "F1 score metric",
                          "Confusion Matrix"])])
def test_a_page_shows_what_was_found_and_asks_nobody(pages, tmp_path, name, shows):
    found = shown((pages / name).read_text(), tmp_path)
    text = re.sub(r"<script.*?</script>", "", found, flags=re.DOTALL)
    assert "<svg" in text, "pictures are drawn"
    for word in shows:
        assert word in text
    assert re.search(r'data-asked="(.*?)"', text)[1] == "asked for: ."


def test_a_page_that_asks_someone_is_found(tmp_path):
    found = shown('<html><body><img src="http://127.0.0.1:9/x.png"></body></html>', tmp_path)
    assert 'data-asked="asked for: http://127.0.0.1:9/x.png."' in found
