import os
import subprocess
import sys
import time

import pytest

from fraud.training import quiet


def test_what_is_said_while_something_starts_is_dropped(capfd):
    with quiet.suppress_startup_output():
        os.write(2, b"chatter\n")
        print("more of it", file=sys.__stderr__)
        subprocess.run([sys.executable, "-c", "import sys; print('yet more', file=sys.stderr)"],
                       check=True)
    assert capfd.readouterr() == ("", "")


def test_what_is_said_before_and_after_is_not(capfd):
    os.write(2, b"before\n")
    with quiet.suppress_startup_output():
        os.write(2, b"chatter\n")
        print("output")
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("output\n", "before\nafter\n")


def test_what_was_said_is_shown_if_it_does_not_start(capfd):
    with pytest.raises(ZeroDivisionError), quiet.suppress_startup_output():
        os.write(2, b"the reason\n")
        raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_what_a_started_process_says_later_passes_through(capfd):
    script = "import os; os.write(2, b'chatter'); print(flush=True); input(); os.write(2, b'error')"
    with quiet.suppress_startup_output():
        process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
    process.communicate(b"\n")
    said = capfd.readouterr().err
    end = time.monotonic() + 10
    while not said and time.monotonic() < end:      # a thread passes it on
        said = capfd.readouterr().err
    assert said == "error"


def test_more_than_a_pipe_holds_may_be_said(capfd):
    line = 1000 * b"x" + b"\n"
    with pytest.raises(ZeroDivisionError), quiet.suppress_startup_output():
        for _ in range(1000):
            os.write(2, line)
        raise ZeroDivisionError
    assert capfd.readouterr().err == 1000 * line.decode()


# TensorFlow.

RUN = """
import sys
from pathlib import Path
import numpy as np
from fraud.training.models import neural_network
from fraud.training.models.samples import LabelledSample
from fraud.training.settings import NeuralNetwork
rows = np.random.default_rng(7).normal(size=(300, 4)).astype(np.float32)
sample = LabelledSample(rows, (rows[:, 0] > 1).astype(np.int8))
model, _ = neural_network.fit(sample, sample, NeuralNetwork(
    units=[4], bins=4, learning_rate=0.01, batch_size=32, fraud_share=0.1, steps_per_epoch=2,
    epochs=1, patience=1), seed=7)
folder = Path(sys.argv[1])
neural_network.export(model, 4, folder / "model.onnx")
neural_network.save(model, folder / "model.keras")
neural_network.logits(neural_network.load(folder / "model.keras"), rows)
"""


def test_tensorflow_says_nothing(tmp_path):
    result = subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], capture_output=True,
                            text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "model.onnx").exists()
