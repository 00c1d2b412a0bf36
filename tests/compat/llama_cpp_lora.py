"""Top-10 next-token logits of stock llama.cpp, with and without a GGUF LoRA adapter, as JSON.

    llama_cpp_lora.py MODEL [--adapter FILE] [--scale S] (--prompt TEXT | --ids 504,3575,...)

Needs the two wheels that stock.py names.
"""

import argparse
import json
import sys

from stock import attach, context, ffi, lib, load, tokenise


def last_logits(model, ids, adapter, scale):
    state = context(model, len(ids))
    if adapter is not None:
        attach(state, model, adapter, scale)
    tokens = ffi.new("llama_token[]", ids)
    if lib.llama_decode(state, lib.llama_batch_get_one(tokens, len(ids))) != 0:
        sys.exit("llama_decode failed")
    count = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    logits = list(lib.llama_get_logits_ith(state, -1)[0:count])
    lib.llama_free(state)
    return logits


def top10(logits):
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[:10]
    return [[i, round(logits[i], 5)] for i in order]


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("model")
    args.add_argument("--adapter")
    args.add_argument("--scale", type=float, default=1.0, help="multiplies the adapter's own alpha/r")
    what = args.add_mutually_exclusive_group(required=True)
    what.add_argument("--prompt")
    what.add_argument("--ids", type=lambda s: [int(i) for i in s.split(",")])
    args = args.parse_args()

    model = load(args.model)
    ids = args.ids or tokenise(model, args.prompt)
    base = last_logits(model, ids, None, 1.0)
    report = {"ids": ids, "base": top10(base)}
    if args.adapter:
        adapted = last_logits(model, ids, args.adapter, args.scale)
        report["adapted"] = top10(adapted)
        report["largest_change"] = max(abs(a - b) for a, b in zip(adapted, base))
    print(json.dumps(report))


main()
