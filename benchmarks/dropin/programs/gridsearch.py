"""scikit-learn's GridSearchCV with two jobs, on joblib's multiprocessing backend."""

import json
import time

import numpy
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier


def main():
    random = numpy.random.default_rng(1)
    samples = random.normal(size=(20_000, 20))
    classes = (samples[:, 0] * samples[:, 1] + samples[:, 2] > 0).astype(int)
    grid = {"max_depth": [2, 4, 6, 8], "min_samples_leaf": [1, 5, 20]}
    begin = time.perf_counter()
    with parallel_config(backend="multiprocessing", n_jobs=2):
        search = GridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=3).fit(samples, classes)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "answer": [search.best_params_, round(search.best_score_, 9)]}))


if __name__ == "__main__":
    main()
