from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from repatient.views import Encoder

SETTINGS = {
    "dim": 8,
    "width": 16,
    "projection": 16,
    "n_steps": 60,
    "evaluate_every": 10,
    "device": "cpu",
    "progress": False,
}

# The child lies down after its third checkpoint, so that it is killed in the middle of training.
CHILD = """
import sys, time
import numpy as np
from repatient.views import Encoder
from repatient.views._checkpoint import TrainingCheckpoint

write, n_written = TrainingCheckpoint.write, 0

def write_and_wait(self, training):
    global n_written
    write(self, training)
    n_written += 1
    if n_written == 3:
        print("written", flush=True)
        time.sleep(600)

TrainingCheckpoint.write = write_and_wait
rng = np.random.default_rng(0)
X, partner = rng.standard_normal((80, 12)), rng.standard_normal((80, 5))
Encoder(**{settings}).fit(X, partner, checkpoint=sys.argv[1])
"""


@pytest.fixture
def views():
    rng = np.random.default_rng(0)
    return rng.standard_normal((80, 12)), rng.standard_normal((80, 5))


def test_a_killed_training_goes_on_to_the_same_bits(views, tmp_path):
    path = tmp_path / "kept" / "encoder.npz"
    code = textwrap.dedent(CHILD).replace("{settings}", repr(SETTINGS))
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "written"
        finally:
            child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert os.listdir(path.parent) == ["encoder.npz"]
    whole = Encoder(**SETTINGS).fit(*views)
    resumed = Encoder(**SETTINGS).fit(*views, checkpoint=path)
    np.testing.assert_array_equal(resumed.embed(views[0]), whole.embed(views[0]))
    assert resumed.history_ == whole.history_
    assert (resumed.best_step_, resumed.early_stopped_) == (whole.best_step_, whole.early_stopped_)


def test_a_finished_training_is_read_and_not_repeated(views, tmp_path, monkeypatch):
    path = tmp_path / "encoder.npz"
    first = Encoder(**SETTINGS).fit(*views, checkpoint=path)

    monkeypatch.setattr("repatient.views._training.batch_loss", None)
    again = Encoder(**SETTINGS | {"progress": None}).fit(*views, checkpoint=path)
    np.testing.assert_array_equal(again.embed(views[0]), first.embed(views[0]))


def test_a_checkpoint_of_something_else_is_refused(views, tmp_path):
    path = tmp_path / "encoder.npz"
    X, partner = views
    Encoder(**SETTINGS).fit(X, partner, checkpoint=path)
    content = path.read_bytes()
    for model, rows in ((Encoder(**SETTINGS, objective="barlow"), X), (Encoder(**SETTINGS), X + 1)):
        with pytest.raises(ValueError, match="of a training with other data or parameters"):
            model.fit(rows, partner, checkpoint=path)
    assert path.read_bytes() == content
    path.write_text("notes")
    with pytest.raises(ValueError, match="no checkpoint of an encoder"):
        Encoder(**SETTINGS).fit(X, partner, checkpoint=path)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="no checkpoint of an encoder"):
        Encoder(**SETTINGS).fit(X, partner, checkpoint=tmp_path / "other.npz")


def test_checkpoints_hold_no_pickle(views, tmp_path):
    path = tmp_path / "encoder.npz"
    Encoder(**SETTINGS).fit(*views, checkpoint=path)
    with np.load(path, allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} <= set("fiuU")
