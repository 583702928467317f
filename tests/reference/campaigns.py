#!/usr/bin/env python3
"""What other policies would have earned on Open Bandit Data and in Hillstrom's experiment, computed without
Marquetry, in pandas and NumPy, by the formulas.

    python3 campaigns.py DATA OUT       DATA has open_bandit/ and hillstrom.csv, OUT is a folder to write into

The rows are sorted by all that is used of them and cut into two halves by the highest bits of SplitMix64; what is
judged on one half was learned on the other. ../tests/campaigns compares the outputs of feedback/evaluate in
../../workflows/{open-bandit,email-experiment}.yaml and open_bandit.yaml with the Parquet files written here.
"""
import pathlib
import sys

import numpy as np
import pandas as pd
from scipy.stats import norm

DATA, OUT = map(pathlib.Path, sys.argv[1:])


def halves(n, seed):
    """0 or 1 for each of n rows."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(63)).astype(int)


def cell_means(train, test, actions):
    """The reward that `train` predicts for each action in place of each row of `test`."""
    cells = train.groupby(["segment", "action"])["reward"].mean().unstack().reindex(columns=actions)
    cells = cells.fillna(train.groupby("action")["reward"].mean()).fillna(train["reward"].mean())
    return cells.loc[test["segment"]].to_numpy()


def ridge(context, penalty):
    def predict(train, test, actions):
        x = lambda rows: np.column_stack([np.ones(len(rows))] + [rows[name].to_numpy(float) for name in context])
        found = np.empty((len(test), len(actions)))
        for column, action in enumerate(actions):
            own = train[train["action"] == action]
            gram = x(own).T @ x(own) + penalty * np.eye(len(context) + 1)
            found[:, column] = x(test) @ np.linalg.solve(gram, x(own).T @ own["reward"].to_numpy(float))
        return found
    return predict


def best_actions(train, test, actions):
    """For each row of `test` the place of the action with the best weighted mean in its segment."""
    weighted = train.assign(w=1 / train["propensity"], wr=train["reward"] / train["propensity"])
    sums = weighted.groupby(["segment", "action"])[["wr", "w"]].sum()
    means = (sums["wr"] / sums["w"]).unstack().reindex(columns=actions)
    overall = weighted.groupby("action")[["wr", "w"]].sum()
    means = means.fillna(overall["wr"] / overall["w"]).fillna(-np.inf)
    return means.loc[test["segment"]].to_numpy().argmax(axis=1)


def estimates(log, model, seed, context=(), clip=np.inf, confidence=0.95):
    log = log.sort_values(["action", "propensity", "reward", "segment", *context], ignore_index=True)
    actions, n, z = np.sort(log["action"].unique()), len(log), norm.ppf(0.5 + confidence / 2)
    half = halves(n, seed)
    predicted, best = np.empty((n, len(actions))), np.empty(n, int)
    for one in (0, 1):
        train, test = log[half != one], log[half == one]
        predicted[half == one] = model(train, test, actions)
        best[half == one] = best_actions(train, test, actions)
    taken = np.searchsorted(actions, log["action"])
    r, p, every = log["reward"].to_numpy(float), log["propensity"].to_numpy(), np.arange(n)
    rows = []

    def add(policy, estimator, value, error, size):
        rows.append((policy, estimator, value, value - z * error, value + z * error, size))

    def evaluate(policy, target):
        w = np.minimum(target[every, taken] / p, clip)
        size = w.sum() ** 2 / (w**2).sum()
        v = (target * predicted).sum(axis=1)
        mean = lambda terms: (terms.mean(), terms.std(ddof=1) / np.sqrt(n))
        snips = (w * r).sum() / w.sum()
        add(policy, "ips", *mean(w * r), size)
        add(policy, "self_normalised_ips", snips, np.sqrt((w**2 * (r - snips) ** 2).sum()) / w.sum(), size)
        add(policy, "direct_method", *mean(v), size)
        add(policy, "doubly_robust", *mean(v + w * (r - predicted[every, taken])), size)

    add("logged", "mean", r.mean(), r.std(ddof=1) / np.sqrt(n), float(n))
    evaluate("uniform", np.full((n, len(actions)), 1 / len(actions)))
    evaluate("best_by_segment", np.eye(len(actions))[best])
    for place, action in enumerate(actions):
        evaluate(f"always {action}", np.eye(len(actions))[np.full(n, place)])
    columns = ["policy", "estimator", "value", "lower", "upper", "effective_sample_size"]
    return pd.DataFrame(rows, columns=columns)


def arms(log, confidence=0.95):
    """What each action earned, over all segments (null) and in each."""
    z, binary, rows = norm.ppf(0.5 + confidence / 2), log["reward"].isin([0, 1]).all(), []
    for segment, part in [(None, log), *log.groupby("segment")]:
        for action, own in part.groupby("action")["reward"]:
            n, mean = len(own), own.mean()
            if binary:
                middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
                width = z * np.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
                low, high = max(middle - width, 0.0), min(middle + width, 1.0)
            else:
                width = z * own.std(ddof=1) / np.sqrt(n)
                low, high = mean - width, mean + width
            rows.append((str(action), None if segment is None else str(segment), n, mean, low, high))
    return pd.DataFrame(rows, columns=["action", "segment", "decisions", "mean_reward", "lower", "upper"])


def best(table):
    """The best action of each segment and its advantage over the next, by Newcombe's method 10."""
    rows = []
    for segment, part in table.groupby("segment", dropna=False):
        first, second = part.sort_values("mean_reward", ascending=False).head(2).itertuples()
        gain = first.mean_reward - second.mean_reward
        low = gain - np.hypot(first.mean_reward - first.lower, second.upper - second.mean_reward)
        high = gain + np.hypot(first.upper - first.mean_reward, second.mean_reward - second.lower)
        rows.append((None if pd.isna(segment) else segment, first.action, first.decisions, first.mean_reward,
                     first.lower, first.upper, second.action, gain, low, high))
    return pd.DataFrame(rows, columns=["segment", "action", "decisions", "mean_reward", "lower", "upper", "next",
                                       "advantage", "advantage_lower", "advantage_upper"])


def write(name, table):
    table.to_parquet(OUT / f"{name}.parquet", index=False)


for policy in ("random", "bts"):
    log = pd.read_csv(DATA / "open_bandit" / policy / "all.csv")
    log = log.rename(columns={"item_id": "action", "position": "segment", "click": "reward",
                              "propensity_score": "propensity", "user-item_affinity_14": "affinity"})
    write(f"{policy}_values", estimates(log, cell_means, seed=7))
    write(f"{policy}_arms", arms(log))
    log["second"], log["third"] = log["segment"] == 2, log["segment"] == 3
    context = ["second", "third", "affinity"]
    # Sorted as features/sql types them: contexts after the segment, in their order.
    write(f"{policy}_ridge", estimates(log, ridge(context, 2.0), 11, context, clip=3.0, confidence=0.9))

mail = pd.read_csv(DATA / "hillstrom.csv").rename(columns={"segment": "action"})
bought = np.where(mail["mens"] & mail["womens"], "both", np.where(mail["mens"], "mens", "womens"))
mail["segment"] = pd.Series(bought).str.cat(np.where(mail["recency"] <= 6, ", active", ", lapsed"))
mail["propensity"] = 1 / 3
for stage, reward in [("visits", "visit"), ("spending", "spend")]:
    log = mail.assign(reward=mail[reward])
    write(stage, estimates(log, cell_means, seed=7))
    write(f"{stage}_arms", arms(log))
    write(f"{stage}_best", best(arms(log)))
