"""How stock llama.cpp answers labelled texts greedily, as JSON:

    llama_answers.py MODEL DATA.jsonl --template TEXT [--adapter FILE]

`answered` is the share of texts whose likeliest next token of all is a label, `accuracy` the share whose is the right one.
The answer is a space and the label, one token. Needs the two wheels that stock.py names.
"""

import argparse
import json

from stock import attach, context, ffi, lib, load, tokenise

TOKENS = 512


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("model")
    args.add_argument("data")
    args.add_argument("--template", default="{text}")
    args.add_argument("--adapter")
    args = args.parse_args()
    with open(args.data, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    model = load(args.model)
    state = context(model, TOKENS, threads=1)  # two would wait for each other on a busy machine
    if args.adapter:
        attach(state, model, args.adapter)
    answers = {}
    for label in {record["label"] for record in records}:
        token, *more = tokenise(model, " " + label, around=False)
        if more:
            raise SystemExit(f"the answer {label!r} is several tokens")
        answers[token] = label
    size = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    answered = right = 0
    for record in records:
        ids = tokenise(model, args.template.replace("{text}", record["text"]))
        tokens = ffi.new("llama_token[]", ids)
        lib.llama_memory_clear(lib.llama_get_memory(state), True)
        if lib.llama_decode(state, lib.llama_batch_get_one(tokens, len(ids))) != 0:
            raise SystemExit("llama_decode failed")
        logits = ffi.unpack(lib.llama_get_logits_ith(state, -1), size)
        answer = answers.get(max(range(size), key=logits.__getitem__))
        answered += answer is not None
        right += answer == record["label"]
    n = len(records)
    print(json.dumps({"n": n, "accuracy": right / n, "answered": answered / n}))


main()
