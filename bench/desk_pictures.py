"""Draw the pictures of the desk for README and docs, from its real pages in Chromium.

    python -m bench.desk_pictures                       docs/desk-*.png

The payments are invented: a theft that a mule passes on, among everyday payments.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By

from fraud.bundle import Thresholds
from fraud.clock import DAY_MS, HOUR_MS, now_ms
from fraud.decision import Decision
from fraud.pseudonym import pseudonym
from fraud.reasons import Reason
from fraud.shadow import ShadowDecision
from fraud.windows import COUNT_NAMES

PORT, KEY = 8198, "pictures"
SIZE = (1180, 900)
DECISIONS = 15          # of each analyst
PEOPLE = {"ana": "analyst", "ben": "analyst", "carla": "lead"}
THRESHOLDS = Thresholds(review=1_500.0, decline=0.92, review_by="loss")


def payment(number: int, time_ms: int, names: tuple[str, str | None], amount: float, score: float,
            reasons: list[Reason] | None = None, rules: list[str] | None = None) -> Decision:
    """Return a decision as the log has it."""
    cents = round(amount * 100)
    decision = "review" if rules else THRESHOLDS.decide(score, cents)
    origin, destination = (name and pseudonym(KEY.encode(), name) for name in names)
    return Decision(
        decided_at=time_ms, transaction_id=f"pay-{number:05}", event_time=time_ms,
        type="TRANSFER" if destination else "CASH_OUT", amount_cents=cents, origin=str(origin),
        destination=destination, origin_balance_cents=cents, destination_balance_cents=0,
        history="full", unknown_windows=[], late=False, store_sequence=number, recording_since=0,
        counts=[0] * len(COUNT_NAMES), features=[0.0], score=score, decision=decision,
        idempotent=True, model_digest="m" * 64, reasons=reasons or [], model_version="4",
        policy_digest="p" * 64, policy_version="4.2", thresholds=THRESHOLDS, applied=rules or [],
        decided_by="rule" if rules else "model",
        shadow=ShadowDecision("5", "s" * 64, "q" * 64, THRESHOLDS, score,
                              "approve" if number % 9 == 0 else decision))


def payments() -> list[Decision]:
    """Return a month of everyday payments, and a theft within the last hours."""
    chance, now = random.Random(4), now_ms()
    log = []
    for number in range(3_000):
        amount = chance.lognormvariate(6, 1.4)
        score = chance.betavariate(0.4, 14) if number % 8 else chance.betavariate(2, 4)
        reasons = [Reason("amount", f"Moves {amount:,.2f}; a usual TRANSFER, 412.00", 1.9, {}, {}),
                   Reason("origin-sending", "The sender sent 4 payments in the last hour or two; "
                          "a usual one, none", 0.8, {}, {})]
        log.append(payment(number, now - 30 * DAY_MS + number * 30 * DAY_MS // 3_100,
                           (f"C{chance.randrange(400)}", f"C{chance.randrange(400)}"), amount,
                           score, reasons))
    theft: list[tuple[str, str | None, float, float]] = [
        ("victim", "mule", 18_400.0, 3.0), ("mule", "second", 9_100.0, 2.6),
        ("mule", "third", 8_900.0, 2.4), ("second", None, 9_000.0, 2.1)]
    everyday: list[tuple[str, str | None, float, float]] = [
        (f"C{index}", "victim", 700.0 + index, 60 - 7 * index) for index in range(7)]
    everyday += [("victim", f"C{index}", 90.0 + 40 * index, 55 - 9 * index) for index in range(6)]
    everyday += [("C31", "mule", 2_300.0, 20.0), ("C32", "mule", 1_900.0, 9.0)]
    for number, (origin, destination, amount, hours) in enumerate(theft + everyday, 3_000):
        stolen = number < 3_000 + len(theft)
        log.append(payment(
            number, round(now - hours * HOUR_MS), (origin, destination), amount,
            0.62 + 0.05 * (number % 4) if stolen else 0.01, [
                Reason("amount-against-balance", f"Takes all of the {amount:,.2f} the sender holds",
                       3.1, {}, {}),
                Reason("passing-on", f"Moves {amount:,.2f}; the sender received 18,400.00 in the "
                       "last hour or two", 1.7, {}, {}),
                Reason("time-of-day", "Made between 03:00 and 04:00 UTC; a usual TRANSFER, between "
                       "14:00 and 15:00 UTC", 0.6, {}, {})] if stolen else None,
            ["rule:new-payee-large"] if number == 3_000 else None))
    return log


class PicturedDesk:
    """The desk as a process, with people who have decided some cases."""

    def __init__(self, directory: Path):
        (directory / "decisions.jsonl").write_bytes(
            b"".join(msgspec.json.encode(each) + b"\n" for each in payments()))
        self.environment = {
            **os.environ, "FRAUD_DESK_DATABASE": f"sqlite:///{directory}/desk.db",
            "FRAUD_DESK_DECISIONS": str(directory / "decisions.jsonl"), "FRAUD_ACCOUNT_KEY": KEY,
            "FRAUD_DESK_LABELS": str(directory / "labels.csv"), "FRAUD_DESK_SAMPLE_SHARE": "0.05",
            "FRAUD_MODEL": os.environ.get("FRAUD_MODEL", "models")}
        self.passwords = {name: self._add(name, role) for name, role in PEOPLE.items()}
        self.process = subprocess.Popen([sys.executable, "-m", "desk", "--port", str(PORT)],
                                        env=self.environment, stderr=subprocess.DEVNULL)
        self._wait()
        chance = random.Random(2)
        for name in ("ana", "ben"):
            self._decide(name, [chance.choice(("fraud", "legitimate", "legitimate", "unsure"))
                                for _ in range(DECISIONS)])

    def _wait(self) -> None:
        """Wait until all payments are taken in."""
        while "fraud_desk_lines_total 30" not in _metrics():
            time.sleep(0.2)

    def _add(self, name: str, role: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "desk.people", "add", name, "--role", role], text=True,
            env=self.environment, check=True, capture_output=True).stdout.split()[-1]

    def _decide(self, name: str, outcomes: list[str]) -> None:
        """Decide cases in the middle of the queue."""
        session, url = requests.Session(), f"http://127.0.0.1:{PORT}"
        page = session.post(f"{url}/sign-in", {"name": name, "password": self.passwords[name]},
                            timeout=60).text
        csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        cases = re.findall(r'<tr data-row>\s*<td><a href="/cases/(\d+)"', page)
        for case, outcome in zip(cases[10:], outcomes, strict=False):
            session.post(f"{url}/cases/{case}/decide", {"csrf": csrf, "outcome": outcome},
                         timeout=60, allow_redirects=False)


def _metrics() -> str:
    try:
        return requests.get(f"http://127.0.0.1:{PORT}/metrics", timeout=30).text
    except requests.RequestException:
        return ""


def main() -> None:
    argparse.ArgumentParser(prog="python -m bench.desk_pictures", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--hide-scrollbars",
                   f"--window-size={SIZE[0]},{SIZE[1]}"):
        options.add_argument(option)
    with tempfile.TemporaryDirectory() as directory:
        desk = PicturedDesk(Path(directory))
        browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        try:
            draw(browser, desk.passwords["carla"])
        finally:
            browser.quit()
            desk.process.kill()


def draw(browser: webdriver.Chrome, password: str) -> None:
    """Write a picture of each page."""
    url = f"http://127.0.0.1:{PORT}"
    browser.get(f"{url}/queue")
    browser.find_element(By.NAME, "name").send_keys("carla")
    browser.find_element(By.NAME, "password").send_keys(password + "\n")
    time.sleep(2)
    browser.get(f"{url}/queue?type=TRANSFER&rule=new-payee")
    case = browser.find_element(By.CSS_SELECTOR, "tr[data-row] a").get_attribute("href")
    for name, scheme, page, height in (
            ("queue", "light", f"{url}/queue", 760), ("queue-dark", "dark", f"{url}/queue", 760),
            ("case", "light", case, 1_980), ("case-dark", "dark", case, 1_980),
            ("look", "light", f"{url}/look", 1_700)):
        browser.set_window_size(SIZE[0], height)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        browser.get(str(page))
        time.sleep(1)
        browser.save_screenshot(f"docs/desk-{name}.png")


if __name__ == "__main__":
    main()
