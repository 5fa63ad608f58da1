"""Writes logistic.h: problems, and their optima as scikit-learn finds them.

Needs numpy and scikit-learn.  Run as
    python3 tests/golden/make_logistic.py > tests/golden/logistic.h
The features come from a linear congruential generator that the test repeats,
so that only the optima need to be kept.
"""
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("ignore")


def generator(seed):
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (state >> 40) / 2.0**24


def problem(rows, features, classes, seed):
    """As make_problem() of test_logistic.c."""
    draw = generator(seed)
    x = np.zeros((rows, features), np.float32)
    y = np.zeros(rows, int)
    for i in range(rows):
        y[i] = int(next(draw) * classes * 0.999999) if i >= classes else i
        for j in range(features):
            u = next(draw) - 0.5
            x[i, j] = np.float32(u + 0.4) if j % classes == y[i] else np.float32(u)
            if j % 3 == 2 and u < 0.2:
                x[i, j] = 0
    return x, y


def optimum(x, y, classes, penalty, weights):
    rows = len(y)
    sample = None if weights is None else weights[y]
    model = LogisticRegression(C=1 / (penalty * rows), tol=1e-10, max_iter=20000, solver="lbfgs")
    if classes == 2:
        # scikit-learn's two-class model penalises one vector v; ours two of v/2 and -v/2.
        model.C *= 2
    model.fit(x.astype(np.float64), y, sample_weight=sample)
    w, b = model.coef_, model.intercept_
    if classes == 2:
        w, b = np.vstack([-w / 2, w / 2]), np.concatenate([-b / 2, b / 2])
    z = x.astype(np.float64) @ w.T + b
    z -= z.max(1, keepdims=True)
    losses = np.log(np.exp(z).sum(1)) - z[np.arange(rows), y]
    if sample is not None:
        losses = losses * sample
    return losses.mean() + penalty / 2 * (w**2).sum(), w


def main():
    print("/* Made by make_logistic.py; see there. */\n")
    print("static const struct {\n  int rows, features, classes, weighted;\n  double penalty, objective, norm;\n} golden_logistic[] = {")
    for rows, features, classes in [(40, 5, 2), (300, 21, 2), (90, 7, 3), (700, 19, 5), (400, 30, 77)]:
        x, y = problem(rows, features, classes, rows)
        for penalty in [0.1, 1e-3]:
            for weighted in [0, 1]:
                weights = 0.5 + np.arange(classes) % 3 if weighted else None
                objective, w = optimum(x, y, classes, penalty, weights)
                print(f"    {{{rows}, {features}, {classes}, {weighted}, {penalty!r}, {float(objective)!r}, {float((w**2).sum() ** 0.5)!r}}},")
    print("};")


main()
