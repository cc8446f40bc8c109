import re

import pandas as pd

from monitoring import page


def test_the_page_of_performance_counts_what_was_declined_and_not_what_scored_a_half(tmp_path):
    judged = pd.DataFrame({
        "is_fraud": [1, 1, 1, 1, 0, 0, 0, 0] * 5, "score": [0.9, 0.7, 0.7, 0.7, 0.7, 0.1, 0, 0] * 5,
        "decision": ["decline", *["review"] * 4, *["approve"] * 3] * 5})
    page.of_performance(None, judged, "summary", tmp_path / "page.html")
    shown = {label: float(value) for value, label in re.findall(
        r'\{"value": "([\d.]+)", "label": "(\w+)"\}', (tmp_path / "page.html").read_text())}
    assert shown["Recall"] == 0.25
    assert shown["Precision"] == 1.0
