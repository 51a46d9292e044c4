"""scikit-learn on the joblib backend: the same results as without, and as on loky; the data is shared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
joblib = pytest.importorskip("joblib", reason="joblib is not installed")

import numpy  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402

import procession.joblib as backend  # noqa: E402

COMPARED = """
import json, sys, joblib, procession.joblib
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
X, y = make_classification(400, 20, random_state=0)
HistGradientBoostingClassifier(max_iter=2).fit(X, y)  # this process has used OpenMP when workers are forked
search = GridSearchCV(HistGradientBoostingClassifier(max_iter=5), {"max_depth": [2, 3]}, cv=3)
with joblib.parallel_config(backend=sys.argv[1], n_jobs=2):
    search.fit(X, y)
    scores = cross_val_score(RandomForestClassifier(5, random_state=0, n_jobs=2), X, y)
print(json.dumps([search.cv_results_["mean_test_score"].tolist(), search.best_params_, scores.tolist()]))
"""


@pytest.fixture
def data() -> Any:
    return make_classification(2000, 100, random_state=0)


@pytest.mark.slow
def test_the_same_results_as_on_loky(program: Callable[..., str]) -> None:
    ours, theirs = (json.loads(program(COMPARED, name)) for name in ("procession", "loky"))
    assert ours == theirs


@pytest.mark.slow
def test_grid_search_shares_the_data(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def pack(value: Any, reducers: Any) -> Any:
        message, buffers = original(value, reducers)
        sent.append(len(message) + sum(buffer.raw().nbytes for buffer in buffers))
        return message, buffers

    original = backend.pack
    monkeypatch.setattr(backend, "pack", pack)
    found = []
    for jobs in (1, 2):
        search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1]}, cv=3)
        with joblib.parallel_config(backend="procession", n_jobs=jobs, start_method="fork"):
            found.append(search.fit(*data))
    alone, parallel = found
    assert parallel.best_params_ == alone.best_params_
    assert (parallel.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()
    assert len(sent) >= 2, "nothing went to workers"
    assert sum(sent) < data[0].nbytes / 2, "the data went to the workers with the tasks"


@pytest.mark.slow
def test_cross_validation_of_a_forest_that_runs_in_threads(data: Any) -> None:
    def scores() -> Any:
        return cross_val_score(RandomForestClassifier(5, random_state=0, n_jobs=2), *data, cv=3)

    alone = scores()
    with joblib.parallel_config(backend="procession", n_jobs=2, start_method="fork"):
        numpy.testing.assert_array_equal(scores(), alone)
