"""Ids that other implementations give texts, for tokenizers of GGUF metadata.

    tokens.py MODEL PARTS TEXTS OUT

MODEL is a GGUF file of metadata alone. PARTS is JSON with the same metadata: kind, pre, tokens, types, merges, scores,
space_prefix, unknown. TEXTS is a JSON array; OUT gets an object with a list of ids a text for each implementation:
`llama.cpp` and `llama.cpp parse` (special tokens in the text are such), `tokenizers` and `tokenizers parse`, and
`sentencepiece` where the kind is `llama` and no space comes first. Needs the wheels that stock.py names.
"""

import json
import struct
import sys

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers

from stock import ffi, lib

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def llama_cpp(path):
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(path.encode(), params)
    if model == ffi.NULL:
        raise SystemExit(f"llama.cpp cannot load {path}")
    vocabulary = lib.llama_model_get_vocab(model)

    def encode(text, parse):
        raw = text.encode()
        ids = ffi.new("llama_token[]", 4 * len(raw) + 8)
        count = lib.llama_tokenize(vocabulary, raw, len(raw), ids, len(ids), False, parse)
        if count < 0:
            raise SystemExit(f"tokenise failed: {count}")
        return list(ids[0:count])

    return encode


def rules(pre):
    """How the published tokenizer of a family splits, in the parts that it is assembled from."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("gpt-2", "smollm"))
    if pre == "gpt-2":
        return byte_level
    first = {"smollm": pre_tokenizers.Digits(individual_digits=True),
             "llama-bpe": pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
             "qwen2": pre_tokenizers.Split(Regex(QWEN2), "isolated")}[pre]
    return pre_tokenizers.Sequence([first, byte_level])


def merges_of(parts):
    """As published conversions make merges of scores: every way to divide a token, those of the best tokens first."""
    ids = {t: i for i, (t, kind) in enumerate(zip(parts["tokens"], parts["types"])) if kind in (NORMAL, USER_DEFINED)}
    merges = [(parts["scores"][i], a, b) for t, i in ids.items() for a, b in ((t[:n], t[n:]) for n in range(1, len(t))) if a in ids and b in ids]
    return [(a, b) for _, a, b in sorted(merges, key=lambda m: (-m[0], ids[m[1]], ids[m[2]]))]


def hugging_face(parts):
    vocabulary = {t: i for i, t in enumerate(parts["tokens"])}
    if parts["kind"] == "gpt2":
        merges = [tuple(m.split(" ")) for m in parts["merges"]]
        model = models.BPE(vocabulary, merges, ignore_merges=parts["pre"] == "llama-bpe")
    else:
        model = models.BPE(vocabulary, merges_of(parts), byte_fallback=True, fuse_unk=True, unk_token=parts["tokens"][parts["unknown"]])
    made = []
    for specials in (False, True):
        tokenizer = tokenizers.Tokenizer(model)
        if parts["kind"] == "gpt2":
            tokenizer.pre_tokenizer = rules(parts["pre"])
        else:
            space = [normalizers.Prepend("▁")] if parts["space_prefix"] else []
            tokenizer.normalizer = normalizers.Sequence([*space, normalizers.Replace(" ", "▁")])
        kinds = (UNKNOWN, CONTROL, USER_DEFINED) if specials else (USER_DEFINED,)
        added = [AddedToken(t, normalized=False) for t, kind in zip(parts["tokens"], parts["types"]) if kind in kinds]
        tokenizer.add_tokens(added)
        made.append(tokenizer)
    return lambda text, parse: made[parse].encode(text, add_special_tokens=False).ids


def field(number, wire, payload):
    return varint(number << 3 | wire) + payload


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def sized(number, payload):
    return field(number, 2, varint(len(payload)) + payload)


def sentence_piece(parts):
    """The metadata as sentencepiece's own model file (sentencepiece_model.proto)."""
    model = b""
    for i, (token, score, kind) in enumerate(zip(parts["tokens"], parts["scores"], parts["types"])):
        text = token.replace(" ", "▁") if kind == USER_DEFINED else token
        kind = UNKNOWN if i == parts["unknown"] else kind
        model += sized(1, sized(1, text.encode()) + field(2, 5, struct.pack("<f", score)) + field(3, 0, varint(kind)))
    unknown = sized(45, parts["tokens"][parts["unknown"]].encode())
    model += sized(2, field(3, 0, varint(2)) + field(35, 0, varint(1)) + field(40, 0, varint(parts["unknown"])) + unknown)
    model += sized(3, field(3, 0, varint(parts["space_prefix"])) + field(4, 0, varint(0)) + field(5, 0, varint(1)))
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def main(model, parts, texts, out):
    parts, texts = json.load(open(parts)), json.load(open(texts))
    theirs = {"llama.cpp": llama_cpp(model), "tokenizers": hugging_face(parts)}
    found = {}
    for name, encode in theirs.items():
        found[name] = [encode(text, False) for text in texts]
        found[f"{name} parse"] = [encode(text, True) for text in texts]
    # After a token that a user defined sentencepiece puts no space, which the others do.
    if parts["kind"] == "llama" and not parts["space_prefix"]:
        processor = sentence_piece(parts)
        found["sentencepiece"] = [processor.encode(text) for text in texts]
    json.dump(found, open(out, "w"))


main(*sys.argv[1:])
