#!/usr/bin/env python3
"""Fits the factor weights of rules/model.toml on labelled rows, and says whether they are worth taking.

    herma eval --data ROWS --predictions said.jsonl
    python3 scoring/fit.py ROWS said.jsonl

Every weight stays between 0 and 1, so that risk = 1 - product(1 - weight * value) can only rise with a value:
the model is monotone whatever is fitted. Rows that a floor, a critical class or a crisis decides say nothing of
the weights and are left out, as are rows on which labellers differ.

The thresholds 0.25 and 0.60 are the operator's, so weights that move calls across them unseen are no improvement:
ANCHORS hold what the thresholds mean, and a pull towards the shipped weights keeps what the rows do not speak of.
Folds keep whole groups (a server, a tool, a program) together. The verdict is that of rows a fold has not seen.
"""
import glob
import json
import math
import os
import statistics
import sys
import tomllib

THRESHOLD, STEEPNESS, PULL, FOLDS = 0.60, 12.0, 0.05, 5
# Values of side effect, target, irreversibility, human impact, blast radius, and where the risk must lie.
ANCHORS = [
    ((0.05, 0.2, 0.0, 0.0, 0.0), 0.0, 0.25),  # a file of the project is read
    ((0.25, 0.2, 0.0, 0.0, 0.0), 0.0, 0.25),  # and written
    ((0.45, 0.0, 0.5, 0.0, 0.0), 0.25, 0.60),  # a remote object is edited
    ((0.45, 0.0, 1.0, 0.0, 0.0), 0.25, 0.60),  # a message to a colleague
    ((0.25, 0.2, 1.0, 0.0, 0.0), 0.25, 0.60),  # one file is deleted
    ((0.45, 0.5, 1.0, 0.0, 0.0), 0.60, 1.0),  # a message to a stranger
    ((0.45, 1.0, 1.0, 0.0, 0.0), 0.60, 1.0),  # a secret leaves
    ((0.85, 0.0, 0.5, 0.4, 0.0), 0.60, 1.0),  # rights change
    ((0.85, 0.35, 1.0, 0.0, 0.7), 0.60, 1.0),  # a tree in the home directory is deleted
]


def risk(values, weights):
    return 1 - math.prod(1 - w * v for w, v in zip(weights, values))


def values(said, names, weights):
    """What each factor was, solved back from the points of its reason."""
    noisy = sum(said["factors"].get(name, 0.0) for name in names)
    if not 0 < noisy < 1:
        return None
    total = math.log(1 - noisy)
    points = [said["factors"].get(name, 0.0) for name in names]
    return tuple((1 - math.exp(total * p / noisy)) / w for p, w in zip(points, weights))


def loss(rows, weights):
    total = 0.0
    for found, wanted, count in rows:
        chance = 1 / (1 + math.exp(-STEEPNESS * (risk(found, weights) - THRESHOLD)))
        total -= count * math.log(max(chance if wanted else 1 - chance, 1e-9))
    return total / max(sum(count for *_, count in rows), 1)


def wrong(rows, weights):
    """Rows on the wrong side of the gate."""
    return sum(count for found, wanted, count in rows if (risk(found, weights) > THRESHOLD) != wanted)


def fit(rows, shipped):
    def cost(weights):
        held = all(low <= risk(found, weights) <= high for found, low, high in ANCHORS)
        pull = PULL * sum((w - s) ** 2 for w, s in zip(weights, shipped))
        return loss(rows, weights) + pull if held else math.inf

    weights, step = list(shipped), 0.08
    best = cost(weights)
    while step >= 0.01:
        moved = False
        for index in range(len(weights)):
            for change in (step, -step):
                tried = list(weights)
                tried[index] = round(min(1.0, max(0.0, tried[index] + change)), 2)
                if (new := cost(tried)) < best - 1e-7:
                    weights, best, moved = tried, new, True
        if not moved:
            step /= 2
    return weights


def count(rows):
    """The same values with the same label are one row with a count."""
    counted = {}
    for found, wanted in rows:
        key = (tuple(round(value, 4) for value in found), wanted)
        counted[key] = counted.get(key, 0) + 1
    return [(found, wanted, many) for (found, wanted), many in counted.items()]


def group(row):
    server = (row.get("context") or {}).get("server")
    command = (row.get("args") or {}).get("command") if isinstance(row.get("args"), dict) else None
    return str(command).split(" ")[0] if command else f"{row.get('source')} {server or row['tool']}"


def read(place, predictions, names, weights):
    labelled = {}
    for path in glob.glob(os.path.join(place, "*.jsonl")):
        for line in open(path, encoding="utf-8"):
            row = json.loads(line)
            if isinstance(row.get("label"), dict) and not row["label"]["contested"]:
                labelled[row["id"]] = row
    for line in open(predictions, encoding="utf-8"):
        said = json.loads(line)
        row = labelled.get(said["id"])
        if row is None or "factors" not in said or said["class"] == "D" or {"floor", "crisis"} & said["factors"].keys():
            continue
        if found := values(said, names, weights):
            yield group(row), found, row["label"]["human_required"]


def main():
    with open(os.path.join(os.path.dirname(__file__), "rules/model.toml"), "rb") as file:
        model = tomllib.load(file)["model"]["weights"]
    names, shipped = list(model), list(model.values())
    rows = list(read(sys.argv[1], sys.argv[2], names, shipped))
    groups = sorted({name for name, *_ in rows})
    print(f"{len(rows)} rows of {len(groups)} groups, {sum(wanted for *_, wanted in rows)} for a person")
    gains, errors = [], [0, 0]
    for fold in range(FOLDS):
        unseen = set(groups[fold::FOLDS])
        seen = count((found, wanted) for name, found, wanted in rows if name not in unseen)
        held = count((found, wanted) for name, found, wanted in rows if name in unseen)
        fitted = fit(seen, shipped)
        gains.append(loss(held, shipped) - loss(held, fitted))
        errors = [errors[0] + wrong(held, shipped), errors[1] + wrong(held, fitted)]
    fitted = fit(count((found, wanted) for _, found, wanted in rows), shipped)
    mean, error = statistics.mean(gains), statistics.stdev(gains) / math.sqrt(FOLDS)
    print(f"unseen rows: loss falls by {mean:.4f} +- {error:.4f}; wrong side of the gate {errors[0]} -> {errors[1]}")
    print("worth taking" if mean > error and errors[1] <= errors[0] else "not worth taking: the shipped weights stay")
    for name, old, new in zip(names, shipped, fitted):
        print(f"{name} = {new}  # {old}")


if __name__ == "__main__":
    main()
