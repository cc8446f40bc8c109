import json

import pyarrow.parquet as pq
import pytest

from fraud.training.data import __main__, dataset
from fraud.training.data.dataset import prepare
from fraud.training.data.options import Reading
from fraud.training.simulate import simulator
from tests.fraud.training.data.examples import FILES


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("check") / "payments.parquet"
    simulator.write(simulator.simulate(60_000, seed=5), path)
    return path


@pytest.fixture
def run(capsys):
    """Runs the command; gives its exit code, what it wrote, and its error."""
    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            __main__.main([*map(str, arguments)])
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_file_that_can_be_used_is_described(run, simulated):
    code, text, _ = run("check", simulated)
    assert code == 0
    for part in ("payments.parquet: Parquet", "transaction_id (string): S5-000000000",
                 "rows  60,000 payments", "0 would go to quarantine, 0 are blank and skipped",
                 "form  payments", "train  ", "early_stopping  ", "calibration  ", "test  "):
        assert part in text


def test_what_would_be_lost_is_shown_with_its_first_row_its_frauds_and_its_money(
        run, simulated, tmp_path):
    table = pq.read_table(simulated).slice(0, 30_000).to_pandas()
    table.loc[table.index[10:13], "amount"] = 0.001
    table.loc[table.index[20], "event_time"] = 1_704_067_200
    table.loc[table.index[11], "is_fraud"] = 1
    table.to_csv(tmp_path / "rows.csv", index=False)
    _, text, _ = run("check", tmp_path / "rows.csv")
    assert "CSV (utf-8, separated by comma)" in text
    assert "quarantine  over-precise-amount: 3 rows (frauds: 1, money: 0.00)" in text
    assert "row 11 (S5-000000010,17" in text and "the amount has more than two decimals" in text
    assert "event_time 1704067200 is before the year 2000" in text
    assert "it looks like seconds" in text


def test_a_file_that_cannot_be_used_says_why(run, simulated, tmp_path):
    pq.write_table(pq.read_table(simulated).slice(0, 30), tmp_path / "rows.parquet")
    code, text, _ = run("check", tmp_path / "rows.parquet")
    assert code == 2
    assert "not usable: the train period has no fraud" in text


@pytest.mark.parametrize("name", FILES)
def test_other_columns_get_a_draft_with_which_the_check_can_be_repeated(run, tmp_path, name):
    (tmp_path / "rows.csv").write_text(FILES[name])
    draft = tmp_path / "mapping.toml"
    code, text, error = run("check", tmp_path / "rows.csv", "--draft", draft)
    assert code == 2 and "lacks the columns" in error
    assert "CSV" in text and f"A draft of a mapping is in {draft}" in text
    code, text, error = run("check", tmp_path / "rows.csv", "--columns", draft)
    assert "rows  2 payments (frauds: 1); 0 would go to quarantine" in text
    assert "caution: origin_balance is not known for 100% of the payments" in text
    content = draft.read_text()
    code, text, _ = run("check", tmp_path / "rows.csv", "--draft", draft)
    assert "is not overwritten" in text and draft.read_text() == content


def test_accounts_that_many_share_and_hours_that_nobody_knows_are_cautions(run, tmp_path):
    rows = [{"transaction_id": f"t{number}", "event_time": 1_704_067_200_000 + 86_400_000 * number,
             "type": "DEBIT", "amount": 1, "origin": "bank", "destination": f"C{number}",
             "is_fraud": number % 2} for number in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(
        [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows), ""]))
    _, text, _ = run("check", tmp_path / "rows.csv")
    assert "caution: one origin has about 100% of the payments" in text
    assert "caution: all payments are at midnight" in text
    assert "caution: the test period has" not in text


def test_rows_in_quarantine_are_printed(run, tmp_path):
    (tmp_path / "rows.csv").write_text(
        "transaction_id,event_time,type,amount,origin,is_fraud\n" + "".join(
            f"t{number},1704067200000,DEBIT,{number - 3},A,0\n" for number in range(9)))
    prepare(str(tmp_path / "rows.csv"), tmp_path, Reading(max_bad_share=1))
    path = tmp_path / dataset.QUARANTINE_FILE
    code, text, _ = run("quarantine", path, "--limit", "2")
    assert code == 0
    assert text.splitlines() == [
        "row 1: negative-amount: t0,1704067200000,DEBIT,-3,A,0",
        "row 2: negative-amount: t1,1704067200000,DEBIT,-2,A,0", "and 1 more; --limit 3 shows all"]
    (tmp_path / "other.parquet").write_text(json.dumps({}))
    assert run("quarantine", tmp_path / "other.parquet")[0] == 2
