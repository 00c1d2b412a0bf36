"""Logits of stock llama.cpp after every token, as f32 of the machine's order: tokens × vocabulary, into a file.

    llama_logits.py MODEL --ids 504,3575,... --out FILE [--adapter FILE]

Needs the two wheels that stock.py names.
"""

import argparse
import sys

from stock import attach, context, ffi, lib, load


def batch_of(ids):
    """A batch whose every token wants its logits."""
    batch = lib.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place] = token, place
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        batch.logits[place] = 1
    return batch


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("model")
    args.add_argument("--ids", type=lambda s: [int(i) for i in s.split(",")], required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--adapter")
    args = args.parse_args()

    model = load(args.model)
    state = context(model, len(args.ids), exact=True)
    if args.adapter is not None:
        attach(state, model, args.adapter)
    if lib.llama_decode(state, batch_of(args.ids)) != 0:
        sys.exit("llama_decode failed")
    vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    with open(args.out, "wb") as out:
        for place in range(len(args.ids)):
            out.write(ffi.buffer(lib.llama_get_logits_ith(state, place), 4 * vocabulary))


main()
