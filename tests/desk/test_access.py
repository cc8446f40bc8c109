"""Nobody gets in without signing in, from another site, or by a crafted request."""

import re
import socket

import pytest
import requests

from fraud import change_history
from fraud.rules.active import read_rule_set
from fraud.training.registry import publication
from tests.desk.running import account, csrf_of, decision, eventually, write_log
from tests.serve.running import environment

HOSTILE = {
    "markup": "<script>alert(1)</script>", "attribute": '" onmouseover="alert(1)',
    "template": "{{ 7 * 7 }}{% raw %}", "right-to-left": "abc\u202egnp.exe", "null": "a\0b",
    "long": "x" * 64, "header": "a\r\nSet-Cookie: x=1", "sql": "'; DROP TABLE cases; --",
    "separator": "a\u2028b\x85c", "emoji": "👩‍👩‍👧" * 8}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    from tests.desk.running import DeskProcess

    directory = tmp_path_factory.mktemp("desk")
    write_log(directory / "decisions.jsonl", *(
        decision(text, type=text, applied=[f"rule:{text}"], amount_cents=100 * number)
        for number, text in enumerate(HOSTILE.values(), 1)))
    process = DeskProcess(directory, FRAUD_DESK_UNDO_SECONDS="60")
    process.passwords = {name: process.add(name, role) for name, role in
                         (("ana", "analyst"), ("ben", "analyst"), ("lea", "lead"))}
    yield process
    process.kill()


def sign_in(desk, name: str):
    return desk.client(name, desk.passwords[name])


@pytest.mark.parametrize("path", ["/queue", "/cases/1", "/look", "/people", "/trail", "/password",
                                  "/accounts/" + "0" * 32, "/look/policy.json", "/queue/load"])
def test_without_a_session_a_page_leads_to_the_sign_in(desk, path):
    response = requests.get(desk.url + path, timeout=30, allow_redirects=False)
    assert response.status_code == 303
    assert response.headers["Location"].startswith("/sign-in?next=")


@pytest.mark.parametrize(("path", "role"), [
    ("/look", "lead"), ("/trail", "lead"), ("/look/what-if", "lead"), ("/people", "admin")])
def test_pages_of_another_role_are_refused(desk, path, role):
    assert sign_in(desk, "ana").get(path).status_code == 403
    assert sign_in(desk, "lea").get(path).status_code == (200 if role == "lead" else 403)
    assert desk.client().get(path).status_code == 200


@pytest.mark.parametrize(("path", "name"), [
    ("/people", "ana"), ("/people/1", "ana"), ("/look/publish", "ana"), ("/people/1", "lea")])
def test_actions_of_another_role_are_refused(desk, path, name):
    assert sign_in(desk, name).post(path, change="disable").status_code == 403
    assert desk.client().get("/queue").ok


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_a_form_without_the_token_is_refused(desk, token):
    ana = sign_in(desk, "ana")
    assert ana.post("/cases/1/take", csrf=token).status_code == 403
    assert ana.post("/cases/1/take", csrf=sign_in(desk, "ben").csrf).status_code == 403


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}])
@pytest.mark.parametrize("path", ["/sign-in", "/next"])
def test_a_form_of_another_site_is_refused(desk, path, headers):
    ana = sign_in(desk, "ana")
    response = ana.session.post(desk.url + path, {
        "csrf": ana.csrf, "name": "ana", "password": desk.passwords["ana"]}, headers=headers,
        timeout=30, allow_redirects=False)
    assert response.status_code == 403


def test_a_session_that_a_browser_brings_along_is_replaced(desk):
    session = requests.Session()
    session.cookies.set("desk", "fixed", domain="127.0.0.1", path="/")
    response = session.post(f"{desk.url}/sign-in", {"name": "ana",
                                                    "password": desk.passwords["ana"]},
                            timeout=30, allow_redirects=False)
    cookie = response.headers["Set-Cookie"]
    assert "fixed" not in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    assert requests.get(f"{desk.url}/queue", cookies={"desk": "fixed"}, timeout=30,
                        allow_redirects=False).status_code == 303


def test_after_signing_out_the_session_is_worth_nothing(desk):
    ana = sign_in(desk, "ana")
    token = ana.session.cookies["desk"]
    ana.post("/sign-out")
    assert requests.get(f"{desk.url}/queue", cookies={"desk": token}, timeout=30,
                        allow_redirects=False).status_code == 303


@pytest.mark.parametrize("wanted", [
    "https://evil.example", "//evil.example", "/\\evil.example", "/%0d%0aSet-Cookie:x=1/../",
    "javascript:alert(1)", "/queue\r\nX: y", "/queue#@evil.example", ""])
def test_signing_in_leads_nowhere_else(desk, wanted):
    response = requests.post(f"{desk.url}/sign-in", {
        "name": "ana", "password": desk.passwords["ana"], "next": wanted}, timeout=30,
        allow_redirects=False)
    assert response.status_code == 303
    assert re.fullmatch(r"/(?![/\\])[\w/%.~-]*", response.headers["Location"])
    assert "X" not in response.headers
    assert "evil" not in response.headers["Location"]


def test_guessing_passwords_is_throttled_for_a_name_and_not_for_others(desk):
    desk.add("victim")
    statuses = [requests.post(f"{desk.url}/sign-in", {"name": "victim", "password": "guess"},
                              timeout=30) for _ in range(6)]
    assert "do not fit" in statuses[0].text
    assert "too many failed attempts" in statuses[-1].text
    assert sign_in(desk, "ana").get("/queue").ok


def test_every_answer_forbids_scripts_of_others(desk):
    for path in ("/sign-in", "/queue", "/nothing", "/static/desk.js", "/healthz"):
        headers = sign_in(desk, "ana").get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"


def test_the_text_of_others_is_shown_as_text(desk):
    lead = sign_in(desk, "lea")
    cases = lead.wait_for_cases(len(HOSTILE))
    pages = [lead.get("/queue").text, *(lead.get(f"/cases/{number}").text for number in cases)]
    for page in pages:
        assert "<script>alert" not in page
        assert not re.search(r"<[^>]*\son\w+=", page)
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", page)
        assert "\0" not in page
    assert "&lt;script&gt;alert(1)" in pages[0]
    assert "&lt;U+202E&gt;" in pages[0]
    assert "{{ 7 * 7 }}" in pages[0]


@pytest.mark.parametrize("path", [
    "/cases/0", "/cases/99999", "/cases/99999999999999999999", "/cases/-1", "/cases/x",
    "/accounts/x", "/accounts/" + "g" * 32, "/static/../app.py", "/static/%2e%2e/app.py",
    "/queue?view=x", "/queue?least=x", "/queue?after=x", "/queue?after=1:x", "/trail?before=x",
    "/queue?least=nan", "/queue?most=inf", "/queue?least=1e300", "/queue?least=-1",
    "/queue?after=nan:1", "/queue?after=1:99999999999999999999", "/trail?before=" + "9" * 5_000])
def test_a_path_that_leads_nowhere_is_said_so(desk, path):
    assert desk.client().get(path).status_code in (400, 404)


@pytest.mark.parametrize("form", [
    {"outcome": "maybe"}, {}, {"outcome": "fraud", "note": "x" * 2_001},
    {"outcome": "fraud", "incident": "x"}])
def test_a_form_with_anything_else_changes_nothing(desk, form):
    ana = sign_in(desk, "ana")
    before = ana.wait_for_cases(len(HOSTILE))
    if form.get("incident"):
        form = {**form, "outcome": "maybe"}
    assert ana.post(f"/cases/{before[0]}/decide", **form).status_code == 409
    assert ana.case_ids() == before


@pytest.mark.parametrize(("path", "form"), [
    (f"/cases/{2**64}/take", {}), (f"/cases/{2**64}/reopen", {}),
    ("/cases/1/decide", {"outcome": "maybe", "incident": "9" * 5_000}),
    ("/undo", {"ids": "9" * 5_000}), ("/undo", {"ids": "\u0661"}),
    ("/accounts/" + "0" * 32 + "/list", {"list": "deny", "side": "both", "reason": "x",
                                         "days": "9" * 5_000}),
    ("/accounts/" + "0" * 32 + "/list", {"list": "deny", "side": "both", "days": "1",
                                         "reason": "two\nlines"})])
def test_numbers_and_text_that_no_page_sends_are_refused(desk, path, form):
    assert sign_in(desk, "ana").post(path, **form).status_code in (404, 409)


@pytest.mark.parametrize("headers", [
    {"Cookie": b"desk=\xff"}, {"X-CSRF-Token": b"\xff"}, {"Origin": "http://[bad"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"X-Forwarded-For": "1.2.3.4, \t"},
    {"Content-Type": "application/json"}])
def test_headers_that_are_no_text_are_not_an_error_of_the_desk(desk, headers):
    ana = sign_in(desk, "ana")
    response = ana.session.post(desk.url + "/next", b"\xff\xfe", headers=headers, timeout=30,
                                allow_redirects=False)
    assert response.status_code in (303, 400, 403)
    assert "a page failed" not in desk.log.read_text()


def test_large_bodies_are_refused(desk):
    assert sign_in(desk, "ana").post("/next", note="x" * 100_000).status_code == 413


def test_a_decision_of_somebody_else_is_not_undone(desk):
    ana, ben = sign_in(desk, "ana"), sign_in(desk, "ben")
    case = ana.wait_for_cases(len(HOSTILE))[-1]
    ana.decide(case, "unsure")
    assert ben.post("/undo", ids=case).status_code == 409
    assert ana.post("/undo", ids=case).ok
    ana.post(f"/cases/{case}/give-back")


def test_only_a_lead_allows_an_account(desk):
    form = {"list": "allow", "side": "both", "days": "3", "reason": "payroll"}
    response = sign_in(desk, "ana").post(f"/accounts/{account('C1')}/list", **form)
    assert response.status_code == 409
    assert "only a lead" in response.text


def test_an_admin_adds_and_disables_people(desk):
    admin = desk.client()
    page = admin.post("/people", name="eve", role="analyst").text
    password = re.search(r"signs in with the password (\S+)\. It", page)[1]
    eve = desk.client("eve", password)
    number = re.search(r"eve</bdi>.*?/people/(\d+)", page, re.DOTALL)[1]
    admin.post(f"/people/{number}", change="disable")
    assert eve.get("/queue").url.startswith(f"{desk.url}/sign-in")


def test_people_change_their_password(desk):
    old = desk.add("zoe")
    zoe = desk.client("zoe", old)
    assert zoe.post("/password", old="wrong", new="long enough 123").status_code == 409
    assert zoe.post("/password", old=old, new="short").status_code == 409
    assert zoe.post("/password", old=old, new="long enough 123").url.endswith("/sign-in")
    desk.client("zoe", "long enough 123")


def test_present_passwords_are_not_guessed_in_a_session(desk):
    old = desk.add("eva")
    eva = desk.client("eva", old)
    for _ in range(5):
        assert eva.post("/password", old="wrong", new="long enough 123").status_code == 409
    assert "too many failed" in eva.post("/password", old=old, new="long enough 123").text
    assert eva.get("/queue").ok


def test_a_trusted_proxy_names_people(start_desk, tmp_path):
    desk = start_desk()
    desk.add("ana")
    desk.kill()
    desk.settings |= {"FRAUD_DESK_PROXY_HEADER": "X-User", "FRAUD_DESK_PROXY_ADDRESS": "127.0.0.1"}
    desk.start()
    session = requests.Session()
    page = session.get(f"{desk.url}/queue", headers={"X-User": "ana"}, timeout=30)
    assert "ana (analyst)" in page.text
    assert "__Host-desk=" in page.headers["Set-Cookie"]
    assert "secure" in page.headers["Set-Cookie"].lower()
    assert requests.get(f"{desk.url}/queue", headers={"X-User": "nobody"},
                        timeout=30).status_code == 403
    token = session.cookies["__Host-desk"]      # alone it is worth nothing: the proxy names people
    assert requests.get(f"{desk.url}/queue", headers={"Cookie": f"__Host-desk={token}"},
                        timeout=30).url.startswith(f"{desk.url}/sign-in")
    assert twice(desk, "X-User: ana", "X-User: admin") == twice(
        desk, "X-User: admin", "X-User: ana") == 403
    assert csrf_of(page.text)


def twice(desk, *lines: str) -> int:
    """The status of a request with header lines that a client library would join."""
    with socket.create_connection(("127.0.0.1", desk.port), 30) as connection:
        connection.sendall("\r\n".join([
            "GET /queue HTTP/1.1", "Host: desk", *lines, "Connection: close", "", ""]).encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_requests_around_the_proxy_are_refused(start_desk):
    desk = start_desk()
    desk.kill()
    desk.settings |= {"FRAUD_DESK_PROXY_HEADER": "X-User", "FRAUD_DESK_PROXY_ADDRESS": "10.9.9.9"}
    desk.start()
    for path in ("/queue", "/sign-in"):
        assert requests.get(desk.url + path, headers={"X-User": "admin"},
                            timeout=30).status_code == 403


def test_a_list_is_published_with_author_reason_and_expiry(start_desk, make_bundle, tmp_path):
    make_bundle(tmp_path / "bundle")
    publication.publish(tmp_path / "bundle", "fraud-detector", str(tmp_path / "models"))
    desk = start_desk()
    admin = desk.client()
    form = {"list": "deny", "side": "destination", "days": "30", "reason": "mule"}
    page = admin.post(f"/accounts/{account('C2')}/list", **form)
    assert "deny list" in page.text
    [entry] = read_rule_set(str(tmp_path / "models")).entries
    assert (entry.account, entry.list, entry.side, entry.author, entry.reason) == (
        account("C2"), "deny", "destination", "admin", "mule")
    assert admin.post("/accounts/search", account="C2").url.endswith(account("C2"))
    admin.post(f"/accounts/{account('C2')}/unlist", list="deny", side="destination")
    assert read_rule_set(str(tmp_path / "models")).entries == ()
    assert "unlisted" in admin.get("/trail").text


def test_an_analyst_lists_accounts_of_the_case_and_shortens_no_entry_of_a_lead(
        start_desk, make_bundle, tmp_path):
    make_bundle(tmp_path / "bundle")
    publication.publish(tmp_path / "bundle", "fraud-detector", str(tmp_path / "models"))
    write_log(tmp_path / "decisions.jsonl", decision("t-1"))
    desk = start_desk()
    ana, lead = desk.client("ana", desk.add("ana")), desk.client()
    [case] = ana.wait_for_cases(1)
    form = {"list": "deny", "side": "both", "days": "30", "reason": "mule"}

    def answer(client, name: str, **changes) -> int:
        return client.post(f"/accounts/{account(name)}/list", **{**form, **changes}).status_code

    assert answer(ana, "C3", case_id=case) == 409           # of another account
    assert answer(ana, "C1", case_id="99999") == 404
    assert read_rule_set(str(tmp_path / "models")) is None
    assert answer(ana, "C1", case_id=case) == 200
    assert answer(lead, "C2", days="365") == 200
    assert answer(ana, "C2", days="1") == 409
    assert answer(ana, "C2", days="366") == answer(lead, "C2", days="1") == 200
    assert [change.by for change in change_history.read([str(tmp_path / "models")])] == [
        "ana", "admin", "ana", "admin"]


@pytest.mark.slow
def test_thresholds_that_could_not_be_published_are_in_the_trail_as_failed(
        start_desk, make_bundle, tmp_path):
    make_bundle(tmp_path / "bundle")
    publication.publish(tmp_path / "bundle", "fraud-detector", str(tmp_path / "models"))
    lead = start_desk(MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db").client()
    assert lead.post("/look/publish", review="500", decline="500", reason="--force"
                     ).status_code == 409
    trail = lead.get("/trail").text
    assert "thresholds-failed" in trail and ": --force" in trail


def test_any_payment_can_become_a_case(start_desk, tmp_path):
    write_log(tmp_path / "decisions.jsonl", decision("t-1", decision="approve"))
    admin = start_desk().client()
    page = eventually(lambda: "Open a case" in (
        found := admin.post("/accounts/search", account="C1").text) and found)
    assert 'value="t-1"' in page
    opened = admin.post("/payments/open", transaction_id="t-1")
    assert opened.url.endswith("/cases/1")
    assert "Approve" not in opened.text
    assert admin.case_ids() == [1]


def test_other_addresses_than_loopback_need_tls_or_a_proxy(tmp_path):
    import subprocess
    import sys

    result = subprocess.run(
        [sys.executable, "-m", "desk", "--host", "0.0.0.0"], capture_output=True, text=True,
        env=environment(FRAUD_DESK_DATABASE=f"sqlite:///{tmp_path}/desk.db"))
    assert result.returncode == 2
    assert "passwords would travel in the clear" in result.stderr
