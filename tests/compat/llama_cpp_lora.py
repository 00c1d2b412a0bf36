"""Top-10 next-token logits of stock llama.cpp, with and without a GGUF LoRA adapter, as JSON.

    llama_cpp_lora.py MODEL [--adapter FILE] [--scale S] (--prompt TEXT | --ids 504,3575,...)

Needs the two wheels that stock.py names.
"""

import argparse
import json
import sys

from stock import context, ffi, lib, load

def tokenise(model, text):
    raw = text.encode()
    tokens = ffi.new("llama_token[]", len(raw) + 8)
    count = lib.llama_tokenize(
        lib.llama_model_get_vocab(model), raw, len(raw), tokens, len(tokens), True, True
    )
    if count < 0:
        sys.exit(f"tokenise failed: {count}")
    return list(tokens[0:count])


def last_logits(model, ids, adapter, scale):
    state = context(model, len(ids))
    if adapter is not None:
        code = lib.llama_set_adapters_lora(
            state, ffi.new("struct llama_adapter_lora *[]", [adapter]), 1, ffi.new("float[]", [scale])
        )
        if code != 0:
            sys.exit(f"llama_set_adapters_lora failed: {code}")
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
        adapter = lib.llama_adapter_lora_init(model, args.adapter.encode())
        if adapter == ffi.NULL:
            sys.exit(f"llama.cpp refuses the adapter {args.adapter}")
        adapted = last_logits(model, ids, adapter, args.scale)
        report["adapted"] = top10(adapted)
        report["largest_change"] = max(abs(a - b) for a, b in zip(adapted, base))
    print(json.dumps(report))


main()
