"""Held-out accuracy of a linear probe as JSON: linear_probe.py TRAIN.jsonl HELD_OUT.jsonl MODEL --template TEXT

The last token's hidden state after the final norm, as stock llama.cpp gives it, and ridge regression of scikit-learn on the
labels, its strength chosen by leave-one-out. Needs scikit-learn and the two wheels that stock.py names.
"""

import argparse
import json
import math

import numpy
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stock import ffi, lib, load, tokenise

TOKENS = 512


def read(path):
    with open(path, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    return [record["text"] for record in records], [record["label"] for record in records]


def embedder(model):
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = TOKENS
    params.n_threads = params.n_threads_batch = 2
    params.embeddings = True
    params.pooling_type = 0  # LLAMA_POOLING_TYPE_NONE
    state = lib.llama_init_from_model(model, params)
    width = lib.llama_model_n_embd(model)

    def embed(text):
        ids = tokenise(model, text)[:TOKENS]
        tokens = ffi.new("llama_token[]", ids)
        lib.llama_memory_clear(lib.llama_get_memory(state), True)
        if lib.llama_decode(state, lib.llama_batch_get_one(tokens, len(ids))) != 0:
            raise SystemExit("llama_decode failed")
        return numpy.array(ffi.unpack(lib.llama_get_embeddings_ith(state, -1), width))

    return embed


def main():
    args = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "held_out", "model"):
        args.add_argument(name)
    args.add_argument("--template", default="{text}")
    args = args.parse_args()
    embed = embedder(load(args.model))
    features = lambda texts: numpy.stack([embed(args.template.replace("{text}", text)) for text in texts])
    texts, labels = read(args.train)
    judged, right = read(args.held_out)
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=numpy.logspace(0, 5, 11)))
    probe.fit(features(texts), labels)
    n = len(right)
    accuracy = float(numpy.mean(probe.predict(features(judged)) == numpy.array(right)))
    # Wilson's interval at 95 %.
    z = 1.96
    middle = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    print(json.dumps({"n": n, "accuracy": accuracy, "interval": [middle - half, middle + half]}))


main()
