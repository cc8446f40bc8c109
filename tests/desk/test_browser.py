"""A day at the desk in a real browser, with the real API beside it."""

import re
import time

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from fraud.training.label_table import read_label_table
from fraud.training.registry import publication
from tests.desk.running import KEY, decision, eventually, write_log
from tests.serve.running import Server

pytestmark = pytest.mark.system
SECONDS = 20


@pytest.fixture
def api(tmp_path, champion):
    server = Server(tmp_path, FRAUD_MODEL=str(tmp_path / "models"), FRAUD_ACCOUNT_KEY=KEY,
                    FRAUD_DECISION_LOG=str(tmp_path / "decisions.jsonl"))
    yield server
    server.process.kill()
    server.process.wait()


class Page:
    """The page that a browser shows."""

    def __init__(self, browser, desk):
        self.browser, self.desk = browser, desk

    def open(self, path: str) -> None:
        self.browser.get(self.desk.url + path)

    def sign_in(self) -> None:
        self.open("/queue")
        self.field("name").send_keys("admin")
        self.field("password").send_keys(self.desk.password + Keys.ENTER)
        self.wait("Queue")

    def field(self, name: str):
        return self.browser.find_element(By.NAME, name)

    def click(self, selector: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def text(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text

    def wait(self, text: str) -> None:
        wait = WebDriverWait(self.browser, SECONDS,
                             ignored_exceptions=[StaleElementReferenceException])   # a new page
        wait.until(lambda _: re.search(text, self.text()), f"no {text!r}")


@pytest.fixture
def page(browser, start_desk, tmp_path):
    return Page(browser, start_desk(FRAUD_DESK_UNDO_SECONDS="5"))


def test_from_a_payment_to_its_label(api, page, tmp_path):
    answers = [api.score(f"t-{number}", amount=amount, origin="victim", destination="mule").json()
               for number, amount in enumerate((0.5, 0.7, 0.6))]
    assert {answer["decision"] for answer in answers} == {"review"}
    page.sign_in()
    eventually(lambda: page.open("/queue") or "t-" not in page.text()
               and len(page.browser.find_elements(By.CSS_SELECTOR, "tr[data-row]")) == 3)
    page.click("#next")
    page.wait("Case 2: 0.70 TRANSFER")
    assert "the model alone" not in page.text()
    for words in ("probability of fraud", "review from a score of 50.0 %", "Reasons",
                  "Money around these accounts", "model 1, policy 1.1, rules none"):
        assert words in page.text()
    assert page.browser.find_elements(By.CSS_SELECTOR, "svg.network line.flow")
    # All of the incident, undone, and decided again.
    for each in page.browser.find_elements(By.NAME, "incident"):
        each.click()
    page.click("[name=outcome][value=legitimate]")
    page.field("note").send_keys("the customer <b>confirms</b>")
    page.click(".decide .primary")
    page.wait("Decided: 3 cases")
    page.click("#undo button")
    page.wait("taken by admin")
    for each in page.browser.find_elements(By.NAME, "incident"):
        each.click()
    page.click("[name=outcome][value=fraud]")
    page.click(".decide .primary")
    page.wait("Decided: 3 cases")
    eventually((tmp_path / "labels.csv").exists)
    eventually(lambda: len(read_label_table(tmp_path / "labels.csv")) == 3)
    table = read_label_table(tmp_path / "labels.csv")
    assert set(table["transaction_id"]) == {"t-0", "t-1", "t-2"}
    assert set(table["is_fraud"]) == {1}
    assert table["incident_id"].nunique() == 1


def test_a_denied_account_is_declined_within_two_seconds(api, page):
    api.score("t-1", amount=0.5, origin="C7", destination="mule")
    page.sign_in()
    eventually(lambda: page.open("/queue") or page.browser.find_elements(
        By.CSS_SELECTOR, "tr[data-row]"))
    page.click("#next")
    page.wait("Recipient")
    section = page.browser.find_element(
        By.CSS_SELECTOR, "section[aria-labelledby=side-destination]")
    section.find_element(By.TAG_NAME, "summary").click()
    section.find_element(By.NAME, "reason").send_keys("mule of today")
    section.find_element(By.XPATH, ".//button[text()='Publish']").click()
    page.wait("deny list as both")
    published = time.monotonic()
    number = iter(range(1_000))
    answer = eventually(lambda: (given := api.score(
        f"after-{next(number)}", amount=0.0, origin="C8", destination="mule").json()
        )["decided_by"] == "list" and given, 5)
    assert answer["decision"] == "decline"
    assert time.monotonic() - published <= 2


def test_a_lead_moves_the_sliders_and_publishes(api, page, tmp_path):
    for number in range(6):
        api.score(f"t-{number}", amount=number / 5)
    page.sign_in()
    page.wait("Open reviews")
    before = publication.published(str(tmp_path / "models"))
    page.open("/look")
    page.wait("Other thresholds")
    slider = page.field("decline")
    shown = page.browser.find_element(By.ID, "tried").text
    slider.send_keys(Keys.ARROW_RIGHT * 30)
    eventually(lambda: page.browser.find_element(By.ID, "tried").text != shown)
    page.field("reason").send_keys("too many declines" + Keys.ENTER)
    eventually(lambda: publication.published(str(tmp_path / "models")) != before, 120)
    eventually(lambda: page.browser.current_url.endswith("/look"), 60)
    eventually(lambda: api.score(str(time.time()), amount=1.0).json()["policy_version"]
               .startswith("desk-"))
    page.open("/trail")
    assert "too many declines" in page.text()


def test_by_keyboard_alone(page, tmp_path):
    write_log(tmp_path / "decisions.jsonl", *(
        decision(f"t-{number}", amount_cents=100 * number, origin=f"{number:032x}",
                 destination=None) for number in (1, 2, 3)))
    page.open("/queue")
    page.press("admin", Keys.TAB, page.desk.password, Keys.ENTER)
    page.wait("Queue")
    eventually(lambda: page.browser.refresh() or page.browser.find_elements(
        By.CSS_SELECTOR, "tr[data-row]"))
    page.press("j", "j", "k", Keys.ENTER)
    page.wait("Case 3: 3.00")
    page.press("q")
    page.wait("Take the next case")
    page.press("n")
    page.wait("taken by admin")
    page.press("f", Keys.ENTER)
    page.wait("Case 2: 2.00")           # the next one
    page.wait("Decided: 1 case")
    page.press("z")
    page.wait("Case 3: 3.00")
    page.press("l", Keys.ENTER)
    page.wait("Case 1: 1.00")           # case 2 was taken before, and is in the view Mine
    page.press("/", "C1", Keys.ENTER)
    page.wait("The desk has seen no payments of this account")


def test_pages_have_no_fault_of_accessibility_and_ask_nobody_else(page, tmp_path, axe, champion):
    write_log(tmp_path / "decisions.jsonl", *(
        decision(f"t-{number}", amount_cents=100 * number, applied=["rule:night"])
        for number in range(1, 60)))
    page.sign_in()
    page.open("/queue")
    eventually(lambda: page.browser.refresh() or page.browser.find_elements(By.ID, "more"))
    faults = {}
    for scheme in ("light", "dark"):
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        for path in ("/queue", "/queue?view=closed", "/cases/1", "/cases/2?undo=1", "/look",
                     "/trail", "/people", "/password", "/nothing",
                     "/accounts/" + decision().origin):
            page.open(path)
            page.browser.execute_script(axe)
            result = page.browser.execute_async_script("axe.run().then(arguments[0])")
            faults |= {f"{scheme} {path} {fault['id']}": [node["html"] for node in fault["nodes"]]
                       for fault in result["violations"]}
            asked = page.browser.execute_script(
                "return performance.getEntriesByType('resource').map(entry => entry.name)")
            assert all(url.startswith(page.desk.url) for url in asked)
    assert faults == {}
    problems = [entry for entry in page.browser.get_log("browser")
                if "/nothing" not in entry["message"]]
    assert problems == []


def test_at_200_percent_nothing_is_cut_off(page, tmp_path):
    write_log(tmp_path / "decisions.jsonl", decision())
    page.sign_in()
    eventually(lambda: page.browser.refresh() or page.browser.find_elements(
        By.CSS_SELECTOR, "tr[data-row]"))
    page.browser.set_window_size(640, 900)      # 1280 at 200 %
    for path in ("/queue", "/cases/1", "/look", "/people"):
        page.open(path)
        assert page.browser.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth"), path


def test_more_rows_come_without_leaving_the_page(page, tmp_path):
    write_log(tmp_path / "decisions.jsonl", *(
        decision(f"t-{number}", amount_cents=100 * number, type=("TRANSFER", "PAYMENT")[number % 2])
        for number in range(1, 71)))
    page.sign_in()
    eventually(lambda: page.browser.refresh() or page.browser.find_elements(By.ID, "more"))

    def rows() -> int:
        return len(page.browser.find_elements(By.CSS_SELECTOR, "tr[data-row]"))

    assert rows() == 50
    page.click("#more a")
    eventually(lambda: rows() == 70)
    page.field("type").send_keys("PAYMENT" + Keys.TAB)
    eventually(lambda: rows() == 35)
    assert "type=PAYMENT" in page.browser.current_url


def test_a_desk_that_is_away_is_said(page):
    page.sign_in()
    page.desk.kill()
    page.field("type").send_keys("PAYMENT" + Keys.TAB)
    page.wait("The desk does not answer. Nothing was changed; try again.")
