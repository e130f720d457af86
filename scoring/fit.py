#!/usr/bin/env python3
"""Fits the factor weights of rules/model.toml on labelled rows.

    cargo run -p herma-scoring --example judge < rows.jsonl > said.jsonl
    python3 scoring/fit.py rows.jsonl said.jsonl

Every weight stays between 0 and 1, so that risk = 1 - product(1 - weight * value) can only rise with a value:
the model is monotone whatever is fitted. Rows that a floor, a critical class or weak certainty decides say
nothing of the weights and are left out, as are rows on which labellers differ.
"""
import json
import math
import sys
import tomllib

THRESHOLD, STEEPNESS = 0.60, 12.0


def values(said, weights):
    """What each factor contributed, solved back from the points of its reason."""
    points = {r["factor"]: r["points"] for r in said["reasons"] if r["factor"] in weights}
    noisy = sum(points.values())
    if not 0 < noisy < 1:
        return {}
    total = math.log(1 - noisy)
    return {f: (1 - math.exp(total * p / noisy)) / weights[f] for f, p in points.items()}


def loss(rows, weights):
    sum_ = 0.0
    for found, wanted in rows:
        risk = 1 - math.prod(1 - weights[f] * v for f, v in found.items())
        chance = 1 / (1 + math.exp(-STEEPNESS * (risk - THRESHOLD)))
        sum_ -= math.log(max(chance if wanted else 1 - chance, 1e-9))
    return sum_ / max(len(rows), 1)


def main():
    labels = {}
    for line in open(sys.argv[1]):
        row = json.loads(line)
        if isinstance(row.get("label"), dict) and not row["label"]["contested"]:
            labels[row["id"]] = row["label"]["human_required"]
    with open("scoring/rules/model.toml", "rb") as file:
        weights = tomllib.load(file)["model"]["weights"]
    rows = []
    for line in open(sys.argv[2]):
        said = json.loads(line)
        decided = any(r["factor"] in ("floor", "crisis") for r in said["reasons"]) or said["class"] == "D"
        found = values(said, weights)
        if said["id"] in labels and not decided and found:
            rows.append((found, labels[said["id"]]))
    print(f"{len(rows)} rows, {sum(w for _, w in rows)} of them for a person; loss {loss(rows, weights):.4f}")
    best, step = loss(rows, weights), 0.08
    while step >= 0.01:
        moved = False
        for factor in weights:
            for change in (step, -step):
                tried = weights | {factor: round(min(1.0, max(0.0, weights[factor] + change)), 2)}
                if (new := loss(rows, tried)) < best - 1e-6:
                    weights, best, moved = tried, new, True
        if not moved:
            step /= 2
    print(f"fitted loss {best:.4f}")
    for factor, weight in weights.items():
        print(f"{factor} = {weight}")


if __name__ == "__main__":
    main()
