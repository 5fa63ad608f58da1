"""Writes trust.h: reference values of metrics and comparisons.

Needs numpy, scikit-learn, scipy and statsmodels.  Run as
    python3 tests/golden/make_trust.py > tests/golden/trust.h
"""
import numpy as np
from scipy.stats import binomtest
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint


def table(kind, name, rows, shape):
    print(f"static const {kind} {name}{shape} = {{")
    for row in rows:
        cells = row if isinstance(row, (list, tuple, np.ndarray)) else [row]
        text = ", ".join(c if isinstance(c, str) else repr(float(c)) if isinstance(c, (float, np.floating)) else str(int(c)) for c in cells)
        print(f"    {{{text}}}," if isinstance(row, (list, tuple, np.ndarray)) else f"    {text},")
    print("};\n")


def ece(probabilities, truth, bins=15):
    top = probabilities.argmax(1)
    confidence = probabilities[np.arange(len(top)), top]
    edges = np.linspace(0, 1, bins + 1)
    total = 0.0
    for lo, hi in zip(edges[:-1], edges[1:]):
        inside = (confidence > lo) & (confidence <= hi)
        if inside.any():
            total += abs(confidence[inside].mean() - (top[inside] == truth[inside]).mean()) * inside.mean()
    return total


def main():
    print("/* Made by make_trust.py; see there. */\n")
    random = np.random.default_rng(7)
    rows, labels = 60, 5
    logits = random.normal(size=(rows, labels)) * 1.5
    truth = np.array([random.choice(4, p=[0.5, 0.3, 0.15, 0.05]) for _ in range(rows)])
    logits[np.arange(rows), truth] += 1.5
    logits[:, 3] -= 6  # a label that occurs and is never predicted; label 4 the other way round
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities = probabilities.astype(np.float32)
    p = probabilities.astype(np.float64)
    top = p.argmax(1)
    print(f"enum {{ GOLDEN_ROWS = {rows}, GOLDEN_LABELS = {labels} }};\n")
    table("float", "golden_probabilities", [[f"{x!r}f" for x in row.tolist()] for row in probabilities],
          "[GOLDEN_ROWS][GOLDEN_LABELS]")
    table("int32_t", "golden_truth", list(truth), "[GOLDEN_ROWS]")
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, top, labels=range(labels), zero_division=0)
    onehot = np.eye(labels)[truth]
    print("/* accuracy, macro F1, NLL, Brier, ECE */")
    table("double", "golden_metrics", [metrics.accuracy_score(truth, top),
          metrics.f1_score(truth, top, average="macro", zero_division=0),
          -np.log(p[np.arange(rows), truth]).mean(), ((p - onehot) ** 2).sum(1).mean(), ece(p, truth)], "[5]")
    print("/* a label a row: precision, recall, F1, support */")
    table("double", "golden_labels", [list(map(float, r)) for r in zip(precision, recall, f1, support)],
          "[GOLDEN_LABELS][4]")
    table("int64_t", "golden_confusion", metrics.confusion_matrix(truth, top, labels=range(labels)).tolist(),
          "[GOLDEN_LABELS][GOLDEN_LABELS]")
    print("/* successes, trials, lo, hi */")
    cases = [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (98, 100), (295, 300), (499999, 1000000), (7, 10**9)]
    table("double", "golden_wilson", [[float(s), float(n), *map(float, proportion_confint(s, n, method="wilson"))]
                                      for s, n in cases], f"[{len(cases)}][4]")
    print("/* one way, the other, p */")
    cases = [(0, 0), (1, 0), (0, 6), (5, 5), (3, 9), (12, 2), (40, 71), (400, 480), (499, 501), (499, 502), (300, 1200),
             (5000, 5200), (50000, 50700), (10**6, 10**6 + 4000), (31, 2000)]
    table("double", "golden_mcnemar",
          [[float(b), float(c), float(binomtest(b, b + c).pvalue) if b + c else 1.0] for b, c in cases],
          f"[{len(cases)}][3]")


main()
